//! Whether two samples of times differ: the measures with which side channels are looked for.

/// Crops of the larger times, as dudect makes them.
const CROPS: u32 = 100;
/// Values under which a crop of a sample says nothing.
const MIN_CROP: usize = 500;

/// Welch's t of two samples: how many standard errors their means lie apart.
#[must_use]
pub fn welch_t(one: &[f64], other: &[f64]) -> f64 {
    let ((mean, error), (other_mean, other_error)) = (mean_and_error(one), mean_and_error(other));
    (mean - other_mean) / (error + other_error).sqrt()
}

/// The mean and the square of its standard error.
#[allow(clippy::cast_precision_loss, reason = "samples are far under 2^52")]
fn mean_and_error(sample: &[f64]) -> (f64, f64) {
    let count = sample.len() as f64;
    let mean = sample.iter().sum::<f64>() / count;
    let squares: f64 = sample.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (count - 1.0) / count)
}

/// The t that is farthest from 0, of the samples as they are and of what is left of them under
/// each of a hundred percentiles of both (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant
/// time?"): the longest times are mostly those of something else on the machine.
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

/// The median of a sample.
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

/// The area under the ROC curve: how often a value of `one` is over one of `other`, with ties
/// for half. 0.5 is a guess.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "samples are far under 2^52")]
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
    fn t_is_that_of_a_worked_example() {
        // (21.62 - 23.325) / sqrt(16.772 / 5 + 7.4625 / 4)
        let (one, other) = ([27.5, 21.0, 19.0, 23.6, 17.0], [27.1, 22.0, 20.8, 23.4]);
        assert!((welch_t(&one, &other) + 0.746_256).abs() < 1e-6);
    }

    #[test]
    fn auc_counts_pairs() {
        assert!((auc(&[1.0, 2.0], &[1.0, 2.0]) - 0.5).abs() < 1e-9);
        assert!((auc(&[3.0, 4.0], &[1.0, 2.0]) - 1.0).abs() < 1e-9);
        assert!((auc(&[2.0, 2.0], &[1.0, 2.0]) - 0.75).abs() < 1e-9);
    }

    #[test]
    fn a_difference_that_outliers_hide_shows_in_a_crop() {
        // The same spread, one a hundredth higher, and now and then a value a thousand times as high.
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
