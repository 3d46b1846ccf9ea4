//! Cholesky factor and inverse of a symmetric positive definite matrix, in blocks so that the
//! work is in matrix products. linfa-linalg has both, but column by column: at the 2,000 products
//! of a recommender that is the difference between a second and a minute.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2, s};

/// Rows a block: large enough for the product to dominate, small enough to stay in cache.
const BLOCK: usize = 64;

/// The matrix is not positive definite to working precision; adding to its diagonal helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the matrix is not positive definite at column {column}: add to its diagonal")]
pub struct NotPositiveDefinite {
    /// The column at which the factorization stopped.
    pub column: usize,
}

/// Factors the symmetric `a` as L·Lᵀ and returns the lower triangular L. Only the lower triangle
/// of `a` is read.
///
/// # Errors
/// [`NotPositiveDefinite`] when a pivot is not positive.
pub fn cholesky(mut a: Array2<f64>) -> Result<Array2<f64>, NotPositiveDefinite> {
    let n = a.nrows();
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        factor_diagonal(a.slice_mut(s![start..end, start..end]), start)?;
        if end == n {
            break;
        }
        let corner = a.slice(s![start..end, start..end]).to_owned();
        solve_panel(a.slice_mut(s![end.., start..end]), &corner);
        let panel = a.slice(s![end.., start..end]).to_owned();
        for column in (end..n).step_by(BLOCK) {
            let stop = (column + BLOCK).min(n);
            let right = panel.slice(s![column - end..stop - end, ..]);
            general_mat_mul(
                -1.0,
                &panel.slice(s![column - end.., ..]),
                &right.t(),
                1.0,
                &mut a.slice_mut(s![column.., column..stop]),
            );
        }
    }
    for i in 0..n {
        a.slice_mut(s![i, i + 1..]).fill(0.0);
    }
    Ok(a)
}

/// The inverse of the symmetric positive definite `a`.
///
/// # Errors
/// [`NotPositiveDefinite`] as for [`cholesky`].
pub fn spd_inverse(a: Array2<f64>) -> Result<Array2<f64>, NotPositiveDefinite> {
    let n = a.nrows();
    let lower = cholesky(a)?;
    let inverted = invert_lower(&lower);
    // A⁻¹ = L⁻ᵀ·L⁻¹; L⁻¹ is lower triangular, so a block needs only the rows from itself down.
    let mut inverse = Array2::zeros((n, n));
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        general_mat_mul(
            1.0,
            &inverted.slice(s![start.., ..end]).t(),
            &inverted.slice(s![start.., start..end]),
            0.0,
            &mut inverse.slice_mut(s![..end, start..end]),
        );
    }
    for i in 0..n {
        for j in 0..i {
            inverse[(i, j)] = inverse[(j, i)];
        }
    }
    Ok(inverse)
}

fn factor_diagonal(
    mut block: ArrayViewMut2<'_, f64>,
    offset: usize,
) -> Result<(), NotPositiveDefinite> {
    for j in 0..block.nrows() {
        for k in 0..j {
            let factor = block[(j, k)];
            for i in j..block.nrows() {
                block[(i, j)] -= factor * block[(i, k)];
            }
        }
        let pivot = block[(j, j)];
        if pivot.is_nan() || pivot <= 0.0 {
            return Err(NotPositiveDefinite { column: offset + j });
        }
        let root = pivot.sqrt();
        for i in j..block.nrows() {
            block[(i, j)] /= root;
        }
    }
    Ok(())
}

/// Replaces each row r of `panel` by the solution x of x·Lᵀ = r.
fn solve_panel(mut panel: ArrayViewMut2<'_, f64>, lower: &Array2<f64>) {
    for mut row in panel.rows_mut() {
        for j in 0..lower.nrows() {
            let mut value = row[j];
            for k in 0..j {
                value -= row[k] * lower[(j, k)];
            }
            row[j] = value / lower[(j, j)];
        }
    }
}

fn invert_lower(lower: &Array2<f64>) -> Array2<f64> {
    let n = lower.nrows();
    let mut inverse = Array2::<f64>::eye(n);
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        let (above, mut below) = inverse.view_mut().split_at(ndarray::Axis(0), start);
        let mut rows = below.slice_mut(s![..end - start, ..end]);
        if start > 0 {
            general_mat_mul(
                -1.0,
                &lower.slice(s![start..end, ..start]),
                &above.slice(s![.., ..start]),
                1.0,
                &mut rows.slice_mut(s![.., ..start]),
            );
        }
        for i in 0..end - start {
            for k in 0..i {
                let factor = lower[(start + i, start + k)];
                let (done, mut rest) = rows.view_mut().split_at(ndarray::Axis(0), i);
                rest.row_mut(0).scaled_add(-factor, &done.row(k));
            }
            let pivot = lower[(start + i, start + i)];
            rows.row_mut(i).mapv_inplace(|value| value / pivot);
        }
    }
    inverse
}
