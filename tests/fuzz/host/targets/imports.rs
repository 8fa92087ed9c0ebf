//! Imports a file as that of each program.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sentrynet::import::{Format, Input, Selection, import};

fuzz_target!(|text: &str| {
    let all = Selection { has_all_types: true, hosts: vec!["*".to_owned()], is_separate: false };
    let targets = vec!["https://shop.example/".to_owned()];
    for format in [Format::Blackbox { targets }, Format::Curl, Format::Gatus, Format::Har(all)] {
        let input = Input { name: "file".to_owned(), text: text.to_owned() };
        if let Ok(imported) = import(&format, &[input]) {
            let source = sentrynet::config::Source::from_text("imported", imported.yaml);
            sentrynet::config::parse(&source, &|_| Some("value".to_owned()));
        }
    }
});
