//! A component for a person to read. All that it says of itself is a guest's text.

use std::collections::BTreeMap;

use super::grants;
use super::inspected::Inspected;
use super::layout::{INDENT, WIDTH, columns, line, paragraph};
use sentrynet::sandbox::Import;

mod settings;

pub fn text(inspected: &Inspected) -> String {
    let found = &inspected.found;
    let description = &found.description;
    let mut text = format!("{} {}\n", line(&description.name), line(&description.version));
    text += &paragraph("", &line(&description.summary));
    text.push('\n');
    let made = |fields: &[&str]| {
        let of = found.producers.iter().filter(|[field, ..]| fields.contains(&field.as_str()));
        let named: Vec<_> = of.map(|[_, name, version]| line(format!("{name} {version}").trim())).collect();
        named.join(", ")
    };
    let core = if found.is_core_module { ", a core module" } else { "" };
    let file = if inspected.built_in { "built in".to_owned() } else { line(inspected.asked) };
    let facts = [
        ("component", format!("{file}, {}{core}", size(found.size_bytes))),
        ("sha256", found.sha256.clone()),
        ("contract", format!("sentrynet:probe {}", found.contract)),
        ("language", made(&["language"])),
        ("made with", made(&["processed-by", "sdk"])),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        text += &columns(&[(name, 9), (fact, WIDTH - 2 - 9 - 2)]);
    }
    text += "\nIt can do this, and nothing else:\n";
    text += &powers(&found.imports);
    text += "\nIts settings:\n";
    text += &settings::table(&description.schema);
    if !inspected.built_in {
        let allow = grants::needed(&found.imports);
        text += match allow.is_empty() {
            true => "\nTo use it, declare it; it needs nothing allowed:\n\n",
            false => "\nTo use it, declare it with as little of this as it is to have:\n\n",
        };
        text += &grants::yaml(&inspected.module(), inspected.asked, &found.sha256, &allow);
    }
    text
}

/// What its imports let it do, each with the interfaces that it is for; those that reach nothing come last.
fn powers(imports: &[Import]) -> String {
    let mut powers: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut others = BTreeMap::<&str, Vec<&str>>::new();
    // One without functions has types alone.
    for Import { interface, info, .. } in imports.iter().filter(|import| !import.functions.is_empty()) {
        let name = interface.split('@').next().unwrap_or_default();
        match info.action {
            "" => {
                let (package, name) = name.split_once('/').unwrap_or((name, ""));
                others.entry(package).or_default().push(name);
            }
            words => match powers.iter_mut().find(|(known, _)| *known == words) {
                Some((_, interfaces)) => interfaces.push(name),
                None => powers.push((words, vec![name])),
            },
        }
    }
    // What works only if it is allowed is what matters.
    powers.sort_by_key(|(words, _)| {
        !imports.iter().any(|import| import.info.action == *words && import.info.needs.is_some())
    });
    let longest = powers.iter().map(|(words, _)| words.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (words, interfaces) in &powers {
        text += &columns(&[(words, longest), (&interfaces.join(", "), WIDTH - 2 - longest - 2)]);
    }
    if powers.is_empty() {
        text += "  compute\n";
    }
    if !others.is_empty() {
        let named: Vec<_> = others.iter().map(|(package, names)| format!("{package} ({})", names.join(", "))).collect();
        text += &paragraph(INDENT, &line(&format!("Its other imports reach nothing: {}", named.join(", "))));
    }
    text
}

fn size(bytes: usize) -> String {
    match bytes {
        ..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}
