//! A demonstration: a small shop on loopback, and probes that look after it, once.
//!
//! It is also how to embed the host in a program of one's own: a configuration, a sandbox, probes, runs, a sink.

use std::error::Error;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anstream::ColorChoice;
use sentrynet::config::{self, Level, Source};
use sentrynet::propagation::Origin;
use sentrynet::sandbox::Sandbox;
use sentrynet::sink::Sink;
use sentrynet::sink::console::{Console, Look};

mod shop;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let shop = shop::open(folder.path()).await?;
    let text = include_str!("probes.yaml")
        .replace("HTTPS", &shop.https.to_string())
        .replace("EXPIRED", &shop.expired.to_string());
    println!("{}", text.trim_end());
    if stdout().is_terminal() {
        println!();
    }
    look_after(text, folder.path()).await
}

async fn look_after(text: String, folder: &Path) -> Result<(), Box<dyn Error>> {
    let source = Source { name: "probes.yaml".to_owned(), text, path: None, directory: folder.to_owned() };
    let draft = config::parse(&source, &|_| None);
    let mut problems = draft.problems;
    let mut sandbox =
        Sandbox::new(draft.config.probes.len(), Origin::new(&draft.config.sentry), draft.config.secrets.clone())?;
    let mut probes = Vec::new();
    for probe in &draft.config.probes {
        match sandbox.load(probe, folder).await {
            Ok((loaded, _)) => probes.push(loaded),
            Err(wrong) => problems.extend(wrong.iter().map(|wrong| probe.problem(&wrong.pointer, &wrong.message))),
        }
    }
    if !problems.is_empty() {
        return Err(config::render(&source, Level::Error, &problems, false).into());
    }

    let console = Console::new(ColorChoice::Auto, Look::text(true, false));
    for probe in probes {
        console.report(&Arc::new(probe.run(Instant::now()).await));
    }
    console.flush(Duration::from_secs(1)).await;
    Ok(())
}
