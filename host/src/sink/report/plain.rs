//! The reports as text and as JSON, which are those of the console.

use std::sync::Arc;

use super::subject::WIDTH;
use crate::assessment::AssessedRun;
use crate::sink::json::run_to_json;
use crate::sink::text::{TextOptions, format_run};
use crate::time_format::Zone;

/// Returns the lines of all runs, without styles.
pub fn text(runs: &[Arc<AssessedRun>]) -> String {
    let options = TextOptions { all_waterfalls: false, has_time: false, width: WIDTH };
    runs.iter().map(|run| format_run(run, &options, Zone::local()).to_plain()).collect()
}

/// Returns all runs as one JSON array.
pub fn json(runs: &[Arc<AssessedRun>]) -> String {
    let runs: Vec<_> = runs.iter().map(|run| run_to_json(run)).collect();
    format!("{:#}\n", serde_json::Value::Array(runs))
}
