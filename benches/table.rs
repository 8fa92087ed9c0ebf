//! The table of results: each figure with its baseline, its goal, and whether the goal is met.

use std::fmt::Write;

use serde::Serialize;

/// One result.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    #[serde(rename = "row")]
    pub case: &'static str,
    #[serde(rename = "what")]
    pub label: String,
    #[serde(rename = "ours")]
    pub value: f64,
    pub unit: &'static str,
    #[serde(rename = "floor")]
    pub reference: Option<Reference>,
    pub goal: Option<Goal>,
    /// A problem that the value does not show, such as lost reports. With a problem the goal is not met.
    #[serde(rename = "wrong")]
    pub problem: Option<String>,
    /// The share of the machine that unrelated processes took, from 0 to 1.
    pub noise: Option<f64>,
    pub notes: Vec<String>,
}

/// The value that a result is compared with: that of a baseline, or an earlier one.
#[derive(Debug, Clone, Serialize)]
pub struct Reference {
    pub name: String,
    #[serde(rename = "figure")]
    pub value: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub enum Goal {
    /// At most this multiple of the baseline.
    Times(f64),
    AtMost(f64),
    AtLeast(f64),
}

/// The noise above which a comparison is unreliable.
const UNRELIABLE_NOISE: f64 = 0.05;

impl Figure {
    pub fn new(case: &'static str, label: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let label = label.into();
        Self { case, label, value, unit, reference: None, goal: None, problem: None, noise: None, notes: Vec::new() }
    }

    pub fn compared_with(mut self, name: impl Into<String>, value: f64) -> Self {
        self.reference = Some(Reference { name: name.into(), value });
        self
    }

    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = Some(goal);
        self
    }

    pub fn problem(mut self, problem: Option<String>) -> Self {
        self.problem = problem;
        self
    }

    /// Sets the noise to the largest of the repetitions.
    pub fn noise(mut self, noise: impl IntoIterator<Item = f64>) -> Self {
        self.noise = noise.into_iter().reduce(f64::max);
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn ratio(&self) -> Option<f64> {
        Some(self.value / self.reference.as_ref()?.value)
    }

    /// Returns true if the goal is met, and `None` if there is no goal, or a goal relative to a baseline and no
    /// baseline.
    pub fn is_goal_met(&self) -> Option<bool> {
        let within = match self.goal? {
            Goal::Times(most) => self.ratio()? <= most,
            Goal::AtMost(most) => self.value <= most,
            Goal::AtLeast(least) => self.value >= least,
        };
        Some(within && self.problem.is_none())
    }

    fn cells(&self) -> [String; 7] {
        let goal = match self.goal {
            None => String::new(),
            Some(Goal::Times(most)) => format!("<= {most} x"),
            Some(Goal::AtMost(most)) => format!("<= {}", format_number(most)),
            Some(Goal::AtLeast(least)) => format!(">= {}", format_number(least)),
        };
        let met = match self.is_goal_met() {
            None => "",
            Some(true) => "yes",
            Some(false) => "NO",
        };
        let reference = self.reference.as_ref().map(|reference| format_number(reference.value)).unwrap_or_default();
        let noise = self
            .noise
            .map(|noise| format!("{:.0} %{}", noise * 100.0, if noise > UNRELIABLE_NOISE { " !" } else { "" }));
        [
            format!("{}: {}", self.case, self.label),
            format!("{} {}", format_number(self.value), self.unit),
            reference,
            self.ratio().map(|ratio| format!("{ratio:.2} x")).unwrap_or_default(),
            goal,
            met.to_owned(),
            noise.unwrap_or_default(),
        ]
    }

    /// Returns the result as text with its notes, for output as soon as it is measured.
    pub fn describe(&self) -> String {
        let [_, value, reference, ratio, goal, met, noise] = self.cells();
        let mut text = format!("  {}: {value}", self.label);
        if let Some(Reference { name, .. }) = &self.reference {
            let _ = write!(text, ", {name}: {reference}, ratio {ratio}");
        }
        if self.goal.is_some() {
            let _ = write!(text, ", goal {goal}: {}", if met.is_empty() { "not compared" } else { &met });
        }
        if !noise.is_empty() {
            let _ = write!(text, ", noise {noise}");
        }
        for note in self.problem.iter().chain(&self.notes) {
            let _ = write!(text, "\n    {note}");
        }
        text
    }
}

/// Returns all results as a table.
pub fn render(figures: &[Figure]) -> String {
    let head = ["", "ours", "baseline", "ratio", "goal", "met", "noise"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(figures.iter().map(Figure::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..7).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match index {
                0 | 5 => write!(text, "{cell:width$}  "),
                _ => write!(text, "{cell:>width$}  "),
            };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    if figures.iter().any(|figure| figure.noise.is_some_and(|noise| noise > UNRELIABLE_NOISE)) {
        text.push_str("\n! other processes took more than 5 % of the machine: measure again when it is idle\n");
    }
    text
}

/// Formats a number without decimals if it is whole or at least 100, with one if it is at least 10, and otherwise with
/// two.
fn format_number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => thousands(value),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned());
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.collect::<Vec<_>>().join(","))
}
