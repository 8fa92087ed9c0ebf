//! The format `markdown`.

use super::Shop;

#[test]
fn the_report_has_a_table_and_the_evidence_of_failures() {
    let ended = Shop::new("markdown").once(&["--format", "markdown"]);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines[..2], ["### SentryNet: 2 passed, 1 failed, 1 broken", ""]);
    let rows: Vec<_> = lines.iter().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.len(), 2 + 4, "{rows:#?}");
    let title = "| ✗ failed | <code>Checkout&#58; &#60;a, b&#62; 100%</code> line 8 | ";
    assert!(rows[2].starts_with(title), "{rows:#?}");
    assert!(rows[2].ends_with("<code>status&#58; expected status 200, got 503</code> |"), "{rows:#?}");
    assert!(rows[3].starts_with("| ! broken | <code>Stock</code> line 12 | "), "{rows:#?}");
    assert!(rows[4].starts_with("| ✓ passed | <code>Front page</code> line 5 | "), "{rows:#?}");
}

/// What is not in fenced code has no markup but the report's own; within it, anything is text.
#[test]
fn a_target_cannot_break_out_of_its_block() {
    let ended = Shop::new("markdown-hostile").once(&["--format", "markdown"]);
    let mut fence = None;
    let (mut outside, mut inside) = (Vec::new(), Vec::new());
    for line in ended.stdout.lines() {
        match fence {
            None if line.starts_with("```") => fence = line.strip_suffix("text"),
            None => outside.push(line),
            Some(open) if line == open => fence = None,
            // A fence may be indented by up to three blanks; a longer one would close it too.
            Some(open) => {
                assert!(!line.trim_start().starts_with(open), "{line}");
                inside.push(line);
            }
        }
    }
    assert_eq!(fence, None, "{}", ended.stdout);
    assert!(inside.iter().any(|line| line.contains("</details>")), "{inside:#?}");
    assert!(inside.iter().any(|line| line.trim() == "```"), "{inside:#?}");
    let outside = outside.join("\n");
    let own = ["<details>", "</details>", "<summary>", "</summary>", "<code>", "</code>"];
    let rest = own.iter().fold(outside.clone(), |rest, tag| rest.replace(tag, ""));
    assert!(!rest.contains(['<', '>', '`', '*', '[', '@']), "{rest}");
    assert_eq!(outside.matches("<details>").count(), outside.matches("</details>").count());
}
