//! Compares texts with files, and shows a diff where they differ.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Compares a text with the file of this name in `tests/compatibility/expected`. If the environment has `UPDATE`,
/// writes the file instead.
#[track_caller]
pub fn compare(name: &str, actual: &str) {
    let path = folder().join("expected").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, actual).expect("the folder is writable");
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "tests/compatibility/expected/{name} (-) is not what this version writes (+):\n\n{}\n\
         Programs that read this format depend on it. If the change is intended, run the test with UPDATE=1, which \
         rewrites the file.",
        diff(&expected, actual)
    );
}

/// Compares a value in the same way, as indented JSON. The order of keys counts.
#[track_caller]
pub fn compare_json(name: &str, actual: &Value) {
    compare(name, &format!("{actual:#}\n"));
}

/// Returns the folder of these tests' files.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/compatibility")
}

/// Returns the lines that are only in `old` (`-`) or only in `new` (`+`), with the lines around them.
fn diff(old: &str, new: &str) -> String {
    /// The number of lines that are shown before and after a difference.
    const CONTEXT: usize = 3;
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let lines = edits(&old, &new);
    let mut text = String::new();
    let mut left_out = false;
    for (index, (sign, line)) in lines.iter().enumerate() {
        let around = &lines[index.saturating_sub(CONTEXT)..lines.len().min(index + CONTEXT + 1)];
        if around.iter().any(|(sign, _)| *sign != ' ') {
            _ = writeln!(text, "{sign} {line}");
        } else if !left_out {
            text.push_str("  [...]\n");
        }
        left_out = around.iter().all(|(sign, _)| *sign == ' ');
    }
    text
}

/// Returns all lines, each with `-`, `+` or a space. The lines with a space are a longest common subsequence.
fn edits<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut longest = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            longest[i][j] =
                if one == other { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && longest[i + 1][j] >= longest[i][j + 1] {
            lines.push(('-', old[i]));
            i += 1;
        } else {
            lines.push(('+', new[j]));
            j += 1;
        }
    }
    lines
}

#[test]
fn differences_are_shown_with_their_neighbours() {
    let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
    assert_eq!(diff(old, &old.replace('g', "G")), "  [...]\n  d\n  e\n  f\n- g\n+ G\n  h\n");
}
