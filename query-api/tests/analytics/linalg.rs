use crate::noise::Noise;
use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2, Axis, concatenate};
use query_api::analytics::forecast::ridge::ridge;
use query_api::analytics::linalg::{cholesky, spd_inverse};

fn random(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut noise = Noise(seed);
    Array2::from_shape_fn((rows, columns), |_| noise.normal())
}

fn largest(difference: &Array2<f64>) -> f64 {
    difference.iter().fold(0.0, |m, v| v.abs().max(m))
}

#[test]
fn the_factor_and_the_inverse_hold_across_block_borders() {
    for n in [1, 2, 63, 64, 65, 130, 200] {
        let x = random(2 * n, n, n as u64);
        let mut a = x.t().dot(&x);
        a.diag_mut().mapv_inplace(|d| d + 1.0);
        let lower = cholesky(a.clone()).unwrap();
        assert!(
            largest(&(lower.dot(&lower.t()) - &a)) < 1e-9 * a[(0, 0)],
            "n = {n}"
        );
        let identity = a.dot(&spd_inverse(a.clone()).unwrap());
        assert!(
            largest(&(identity - Array2::<f64>::eye(n))) < 1e-9,
            "n = {n}"
        );
    }
}

#[test]
fn a_matrix_that_is_not_positive_definite_is_refused() {
    let mut a = Array2::<f64>::eye(100);
    a[(80, 80)] = -1.0;
    assert_eq!(cholesky(a).unwrap_err().column, 80);
}

/// The reduced triangle must give what linfa gives on the rows of X with √λ·I appended, and what
/// the closed form (X'X + λI)⁻¹X'y gives.
#[test]
fn the_ridge_is_least_squares_with_appended_rows_and_the_closed_form() {
    let (rows, lags) = (150, 21);
    let x = random(rows, lags, 7);
    let mut noise = Noise(8);
    let y = Array1::from_shape_fn(rows, |i| x[(i, 3)] - 2.0 * x[(i, 5)] + 0.3 * noise.normal());
    let gram = x.t().dot(&x);
    let moments = x.t().dot(&y);
    let weights = ridge(gram.view(), moments.view(), lags).unwrap();

    let lambda = 1e-3 * gram.diag().sum() / lags as f64;
    let appended = Array2::<f64>::eye(lags) * lambda.sqrt();
    let long_x = concatenate![Axis(0), x, appended];
    let long_y = concatenate![Axis(0), y, Array1::<f64>::zeros(lags)];
    let plain = LinearRegression::new().with_intercept(false);
    let direct = plain.fit(&Dataset::new(long_x, long_y)).unwrap();

    let mut penalized = gram;
    penalized.diag_mut().mapv_inplace(|d| d + lambda);
    let closed = spd_inverse(penalized).unwrap().dot(&moments);
    for i in 0..lags {
        assert!((weights[i] - direct.params()[i]).abs() < 1e-10);
        assert!((weights[i] - closed[i]).abs() < 1e-10);
    }
    assert!((weights[5] + 2.0).abs() < 0.1);
}
