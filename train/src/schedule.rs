//! The learning rate schedule: linear warm-up, then cosine decay.

/// Linear warm-up to `peak`, then cosine decay to `end` (Loshchilov and Hutter, "SGDR", 2017).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest rate.
    pub peak: f64,
    /// The rate of the last step and of all after it.
    pub end: f64,
    /// Warm-up steps; step `s < warm_up` has the rate `peak · (s + 1) / warm_up`.
    pub warm_up: u64,
    /// Steps of the run.
    pub steps: u64,
}

impl Schedule {
    /// The rate of step `step`, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warm_up {
            return self.peak * (step + 1) as f64 / self.warm_up as f64;
        }
        if step + 1 >= self.steps {
            return self.end;
        }
        let done = (step - self.warm_up) as f64 / (self.steps - 1 - self.warm_up) as f64;
        self.end + (self.peak - self.end) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_then_decays() {
        let schedule = Schedule { peak: 1.0, end: 0.1, warm_up: 4, steps: 15 };
        let rates: Vec<f64> = (0..20).map(|step| schedule.rate(step)).collect();
        assert_eq!(rates[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!(rates[4..15].windows(2).all(|pair| pair[1] < pair[0]));
        assert!((rates[9] - 0.55).abs() < 1e-12, "halfway down at half time: {}", rates[9]);
        assert_eq!(rates[14..], [0.1; 6]);
    }

    #[test]
    fn a_run_of_only_warm_up_rises() {
        let schedule = Schedule { peak: 2.0, end: 0.0, warm_up: 3, steps: 3 };
        assert_eq!([0, 1, 2, 3].map(|step| schedule.rate(step)), [2.0 / 3.0, 4.0 / 3.0, 2.0, 0.0]);
    }
}
