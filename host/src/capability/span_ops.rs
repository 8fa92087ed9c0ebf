//! The ops of the spans of a third-party component. Their number is bounded, since Sentry stores metrics for each op.

use std::collections::HashSet;

use parking_lot::Mutex;

/// The different ops of one probe's spans so far, in all runs.
#[derive(Default)]
pub struct SpanOps(Mutex<HashSet<String>>);

impl SpanOps {
    /// Returns the op of a new span: `op` if it is one of the first hundred of the probe, else `other`.
    pub fn bounded(&self, op: String) -> String {
        const MAX_OPS: usize = 100;
        const OTHER: &str = "other";
        let mut known = self.0.lock();
        if known.contains(&op) {
            return op;
        }
        if known.len() >= MAX_OPS {
            return OTHER.to_owned();
        }
        known.insert(op.as_str().to_owned());
        op
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_hundred_ops_are_kept() {
        let ops = SpanOps::default();
        for number in 0..1000 {
            let op = format!("op{number}");
            let expected = if number < 100 { &*op } else { "other" };
            assert_eq!(ops.bounded(op.clone()), expected);
        }
        assert_eq!(ops.bounded("op7".to_owned()), "op7");
        assert_eq!(ops.0.lock().len(), 100);
    }
}
