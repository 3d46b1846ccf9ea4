//! Item-to-item models of what else a customer buys: cosine neighbours and EASE^R, both a matrix
//! of weights from the products a customer has to those they might want.

use crate::analytics::linalg::{NotPositiveDefinite, spd_inverse};
use ndarray::{Array1, Array2};

/// Neighbours an item keeps.
pub const NEIGHBOURS: usize = 100;
/// What is added to the cosine's denominator, so that few common buyers count for little.
pub const SHRINK: f64 = 50.0;

/// Weights from a product owned (row) to a product suggested (column); the diagonal is zero.
pub type Weights = Array2<f32>;

/// How many customers have both items of each pair; the diagonal holds the buyers of each. Each
/// slice holds one customer's items, without repeats.
pub fn together<'a>(baskets: impl Iterator<Item = &'a [u32]>, items: usize) -> Array2<f64> {
    let mut counts = Array2::zeros((items, items));
    for basket in baskets {
        for &a in basket {
            let mut row = counts.row_mut(a as usize);
            for &b in basket {
                row[b as usize] += 1.0;
            }
        }
    }
    counts
}

/// Item-kNN by cosine: n_ij / (√(n_i·n_j) + shrink), the `neighbours` largest of each column.
pub fn item_knn(together: &Array2<f64>, neighbours: usize, shrink: f64) -> Weights {
    let items = together.nrows();
    let norms: Vec<f64> = together.diag().iter().map(|n| n.sqrt()).collect();
    let mut weights = Weights::zeros((items, items));
    let mut near: Vec<(f64, usize)> = Vec::with_capacity(items);
    for j in 0..items {
        near.clear();
        // The counts are symmetric: row j is column j, and contiguous.
        for (i, count) in together.row(j).iter().enumerate() {
            if i != j && *count > 0.0 {
                near.push((count / (norms[i] * norms[j] + shrink), i));
            }
        }
        let order = |a: &(f64, usize), b: &(f64, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if near.len() > neighbours {
            near.select_nth_unstable_by(neighbours, order);
            near.truncate(neighbours);
        }
        for &(similarity, i) in &near {
            weights[(i, j)] = similarity as f32;
        }
    }
    weights
}

/// EASE^R (Steck, WWW 2019): with P = (X'X + λI)⁻¹, B_ij = −P_ij / P_jj and a zero diagonal.
///
/// # Errors
/// [`NotPositiveDefinite`] when λ is too small for X'X.
pub fn ease(together: &Array2<f64>, lambda: f64) -> Result<Weights, NotPositiveDefinite> {
    let mut gram = together.clone();
    gram.diag_mut().mapv_inplace(|d| d + lambda);
    let inverse = spd_inverse(gram)?;
    let diagonal: Array1<f64> = inverse.diag().to_owned();
    Ok(Weights::from_shape_fn(inverse.dim(), |(i, j)| {
        if i == j {
            0.0
        } else {
            (-inverse[(i, j)] / diagonal[j]) as f32
        }
    }))
}

/// Each item's score for a customer who has the items `owned`.
pub fn scores(weights: &Weights, owned: &[u32]) -> Vec<f32> {
    let mut scores = Array1::<f32>::zeros(weights.ncols());
    for &item in owned {
        scores += &weights.row(item as usize);
    }
    scores.into_raw_vec_and_offset().0
}
