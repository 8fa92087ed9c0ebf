//! The description of a component as text for a person. Texts from the component are not trusted: each is escaped.

use std::collections::BTreeMap;

use super::grants;
use super::inspected::Inspected;
use super::layout::{INDENT, WIDTH, columns, paragraph, single_line};
use sentrynet::sandbox::Import;

mod settings;

/// Returns the description of a component.
pub fn text(inspected: &Inspected) -> String {
    let inspection = &inspected.inspection;
    let description = &inspection.description;
    let mut text = format!("{} {}\n", single_line(&description.name), single_line(&description.version));
    text += &paragraph("", &single_line(&description.summary));
    text.push('\n');
    let tools = |fields: &[&str]| {
        let producers = inspection.producers.iter().filter(|[field, ..]| fields.contains(&field.as_str()));
        let names: Vec<_> =
            producers.map(|[_, name, version]| single_line(format!("{name} {version}").trim())).collect();
        names.join(", ")
    };
    let core_module = if inspection.is_core_module { ", a core module" } else { "" };
    let file = if inspected.is_built_in { "built in".to_owned() } else { single_line(inspected.argument) };
    let facts = [
        ("component", format!("{file}, {}{core_module}", format_size(inspection.size_bytes))),
        ("sha256", inspection.sha256.clone()),
        ("contract", format!("sentrynet:probe {}", inspection.contract)),
        ("language", tools(&["language"])),
        ("made with", tools(&["processed-by", "sdk"])),
    ];
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        text += &columns(&[(name, 9), (value, WIDTH - 2 - 9 - 2)]);
    }
    text += "\nIt can do this, and nothing else:\n";
    text += &actions_table(&inspection.imports);
    text += "\nIts settings:\n";
    text += &settings::table(&description.schema);
    if !inspected.is_built_in {
        let allow = grants::required_permissions(&inspection.imports);
        text += if allow.is_empty() {
            "\nTo use it, declare it; it needs no permissions:\n\n"
        } else {
            "\nTo use it, declare it; leave out each permission that it should not have:\n\n"
        };
        text += &grants::module_yaml(&inspected.module_name(), inspected.argument, &inspection.sha256, &allow);
    }
    text
}

/// Returns a table of the actions that a component's imports make possible, each with its interfaces. The actions that
/// need a permission come first. The interfaces that make no action possible are listed below the table.
fn actions_table(imports: &[Import]) -> String {
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
    let mut text = String::new();
    for (action, interfaces) in &actions {
        text += &columns(&[(action, width), (&interfaces.join(", "), WIDTH - 2 - width - 2)]);
    }
    if actions.is_empty() {
        text += "  compute\n";
    }
    if !others.is_empty() {
        let names: Vec<_> = others.iter().map(|(package, names)| format!("{package} ({})", names.join(", "))).collect();
        text += &paragraph(
            INDENT,
            &single_line(&format!("Its other imports give access to nothing: {}", names.join(", "))),
        );
    }
    text
}

fn format_size(bytes: u64) -> String {
    match bytes {
        ..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
