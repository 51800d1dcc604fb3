//! Statistics to tell whether two samples of times differ, as used to find timing side channels.

/// Number of percentiles at which the larger times are cropped, as in dudect.
const CROPS: u32 = 100;
/// Smallest crop of a sample that is compared.
const MIN_CROP: usize = 500;

/// Computes Welch's t: the difference of the means in standard errors.
#[must_use]
pub fn welch_t(one: &[f64], other: &[f64]) -> f64 {
    let ((mean, error), (other_mean, other_error)) = (mean_and_error(one), mean_and_error(other));
    (mean - other_mean) / (error + other_error).sqrt()
}

/// Returns the mean and the square of its standard error.
#[allow(clippy::cast_precision_loss, reason = "samples are far below 2^52")]
fn mean_and_error(sample: &[f64]) -> (f64, f64) {
    let count = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / count;
    let squares: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (count - 1.0) / count)
}

/// Returns the t that is farthest from 0 among those of the whole samples and of the samples cropped
/// at each of a hundred common percentiles (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant
/// time?"). Cropping removes long times, most of which come from other work on the machine.
#[must_use]
pub fn worst_t(one: &[f64], other: &[f64]) -> f64 {
    let mut both: Vec<f64> = one.iter().chain(other).copied().collect();
    both.sort_by(f64::total_cmp);
    let crop = |sample: &[f64], limit: f64| -> Vec<f64> {
        sample.iter().copied().filter(|v| *v < limit).collect()
    };
    (0..CROPS)
        .map(|crop| 1.0 - 0.5_f64.powf(10.0 * f64::from(crop + 1) / f64::from(CROPS)))
        .map(|share| both[index(both.len(), share)])
        .map(|limit| (crop(one, limit), crop(other, limit)))
        .filter(|(one, other)| one.len().min(other.len()) >= MIN_CROP)
        .map(|(one, other)| welch_t(&one, &other))
        .chain([welch_t(one, other)])
        .max_by(|one, other| one.abs().total_cmp(&other.abs()))
        .unwrap_or_default()
}

/// Returns the median of a sample.
#[must_use]
pub fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[index(sorted.len(), 0.5)]
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is an index"
)]
fn index(len: usize, share: f64) -> usize {
    ((len as f64 * share) as usize).min(len - 1)
}

/// Computes the area under the ROC curve: the probability that a value of `one` exceeds a value of
/// `other`, where ties count half. 0.5 means indistinguishable.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "samples are far below 2^52")]
pub fn auc(one: &[f64], other: &[f64]) -> f64 {
    let mut sorted = other.to_vec();
    sorted.sort_by(f64::total_cmp);
    let under = |value: &f64| {
        let less = sorted.partition_point(|v| v < value);
        let less_or_same = sorted.partition_point(|v| v <= value);
        (less + less_or_same) as f64 / 2.0
    };
    one.iter().map(under).sum::<f64>() / (one.len() * other.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn welch_t_matches_a_worked_example() {
        // (21.62 - 23.325) / sqrt(16.772 / 5 + 7.4625 / 4)
        let (one, other) = ([27.5, 21.0, 19.0, 23.6, 17.0], [27.1, 22.0, 20.8, 23.4]);
        assert!((welch_t(&one, &other) + 0.746_256).abs() < 1e-6);
    }

    #[test]
    fn auc_is_the_share_of_pairs_in_which_the_first_is_larger() {
        assert!((auc(&[1.0, 2.0], &[1.0, 2.0]) - 0.5).abs() < 1e-9);
        assert!((auc(&[3.0, 4.0], &[1.0, 2.0]) - 1.0).abs() < 1e-9);
        assert!((auc(&[2.0, 2.0], &[1.0, 2.0]) - 0.75).abs() < 1e-9);
    }

    #[test]
    fn cropping_reveals_a_difference_hidden_by_outliers() {
        // The same spread, `shift` higher, with occasional outliers a thousand times as high.
        let sample = |shift: f64| -> Vec<f64> {
            (0..5000_u32)
                .map(|i| match i % 97 {
                    0 => 1000.0,
                    _ => f64::from(i * 7919 % 1000) / 1000.0 + shift,
                })
                .collect()
        };
        let (one, other) = (sample(0.0), sample(0.05));
        assert!(welch_t(&one, &other).abs() < 4.5);
        assert!(worst_t(&one, &other).abs() > 4.5);
        assert!(worst_t(&one, &one).abs() < 1e-9);
    }
}
