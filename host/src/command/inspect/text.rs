//! The description of a component as text for a person.

use std::collections::BTreeMap;

use sentrynet::printable::StyledText;
use sentrynet::sandbox::Import;

use super::grants;
use super::inspected::Inspected;
use super::layout::{INDENT, WIDTH, push_paragraph, push_row, single_line};

mod settings;

/// Returns the description of a component.
pub fn text(inspected: &Inspected) -> StyledText {
    let inspection = &inspected.inspection;
    let description = &inspection.description;
    let mut text = StyledText::new();
    text.push_line(&format!("{} {}", single_line(&description.name), single_line(&description.version)));
    push_paragraph(&mut text, "", &description.summary);
    text.end_line();
    let tools = |fields: &[&str]| {
        let producers = inspection.producers.iter().filter(|[field, ..]| fields.contains(&field.as_str()));
        let names: Vec<_> = producers.map(|[_, name, version]| format!("{name} {version}").trim().to_owned()).collect();
        names.join(", ")
    };
    let core_module = if inspection.is_core_module { ", a core module" } else { "" };
    let file = if inspected.is_built_in { "built in" } else { inspected.argument };
    let facts = [
        ("component", format!("{file}, {}{core_module}", format_size(inspection.size_bytes))),
        ("sha256", inspection.sha256.clone()),
        ("contract", format!("sentrynet:probe {}", inspection.contract)),
        ("language", tools(&["language"])),
        ("made with", tools(&["processed-by", "sdk"])),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        push_row(&mut text, &[(name, 9), (value, WIDTH - 2 - 9 - 2)]);
    }
    text.end_line();
    text.push_line("It can do this, and nothing else:");
    push_actions(&mut text, &inspection.imports);
    text.end_line();
    text.push_line("Its settings:");
    settings::push_table(&mut text, &description.schema);
    if !inspected.is_built_in {
        let allow = grants::required_permissions(&inspection.imports);
        text.end_line();
        text.push_line(if allow.is_empty() {
            "To use it, declare it; it needs no permissions:"
        } else {
            "To use it, declare it; leave out each permission that it should not have:"
        });
        text.end_line();
        let lines = grants::module_yaml(&inspected.module_name(), inspected.argument, &inspection.sha256, &allow);
        for line in &lines {
            text.push_line(line);
        }
    }
    text
}

/// Adds a table of the actions that a component's imports make possible, each with its interfaces. The actions that
/// need a permission come first. The interfaces that make no action possible are listed below the table.
fn push_actions(text: &mut StyledText, imports: &[Import]) {
    let mut actions: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut others = BTreeMap::<&str, Vec<&str>>::new();
    // An import without functions has only types.
    for Import { interface, info, .. } in imports.iter().filter(|import| !import.functions.is_empty()) {
        let name = interface.split('@').next().unwrap_or_default();
        match info.action {
            "" => {
                let (package, name) = name.split_once('/').unwrap_or((name, ""));
                others.entry(package).or_default().push(name);
            }
            action => match actions.iter_mut().find(|(listed, _)| *listed == action) {
                Some((_, interfaces)) => interfaces.push(name),
                None => actions.push((action, vec![name])),
            },
        }
    }
    // The operator decides only on actions that need a permission.
    actions.sort_by_key(|(action, _)| {
        !imports.iter().any(|import| import.info.action == *action && import.info.needs.is_some())
    });
    let width = actions.iter().map(|(action, _)| action.len()).max().unwrap_or_default();
    for (action, interfaces) in &actions {
        push_row(text, &[(action, width), (&interfaces.join(", "), WIDTH - 2 - width - 2)]);
    }
    if actions.is_empty() {
        text.push_line("  compute");
    }
    if !others.is_empty() {
        let names: Vec<_> = others.iter().map(|(package, names)| format!("{package} ({})", names.join(", "))).collect();
        push_paragraph(text, INDENT, &format!("Its other imports give access to nothing: {}", names.join(", ")));
    }
}

fn format_size(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
