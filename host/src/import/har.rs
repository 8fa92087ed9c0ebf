//! Imports HTTP archives (HAR 1.2) as browsers write them: a chain for each page, or a probe for a page of one request.

mod archive;
mod places;
mod selection;
mod step;

use super::input::{Input, InputError};
use super::model::{Configuration, Group, Kind, Probe, Step};
use super::report::{Place, Report};
use super::text::Text;
use archive::{Archive, Exchange};
pub use selection::Selection;

/// The maximal number of requests of a page. A run may make 1,000.
const MAX_STEPS: usize = 200;

/// Returns the probes of all pages.
///
/// # Errors
/// Returns an error for a file that is no HTTP archive, or that has more than 20,000 requests.
pub fn import(inputs: &[Input], selection: &Selection, report: &mut Report) -> Result<Configuration, InputError> {
    let mut group = Group::default();
    for input in inputs {
        let archive = Archive::parse(&input.text).map_err(|(line, message)| input.invalid(line, message))?;
        let lines = places::entry_lines(&input.text);
        let place =
            |index: usize| Place { file: input.name.as_str().into(), line: lines.get(index).copied().unwrap_or(1) };
        for page in pages(&archive) {
            let exchanges: Vec<_> =
                page.exchanges.iter().map(|index| (place(*index), &archive.entries()[*index])).collect();
            let chosen = selection.choose(&exchanges, report);
            report.take_comments();
            group.probes.extend(probes(page.title, &chosen, selection, report));
        }
    }
    Ok(Configuration { groups: vec![group], ..Configuration::default() })
}

/// A page: its title, and the indices of its requests.
struct PageOfArchive<'a> {
    title: &'a str,
    exchanges: Vec<usize>,
}

/// Returns the pages in the order of their first requests. Requests without a page are one page.
fn pages(archive: &Archive) -> Vec<PageOfArchive<'_>> {
    let mut pages: Vec<PageOfArchive> = Vec::new();
    let titles = archive.titles();
    let mut by_id = std::collections::HashMap::new();
    for (index, exchange) in archive.entries().iter().enumerate() {
        let id = exchange.pageref.as_deref();
        let at = *by_id.entry(id).or_insert_with(|| {
            let title = id.and_then(|id| titles.get(id)).copied().unwrap_or_default();
            pages.push(PageOfArchive { title, exchanges: Vec::new() });
            pages.len() - 1
        });
        pages[at].exchanges.push(index);
    }
    pages
}

/// Returns the probes of a page.
fn probes(title: &str, exchanges: &[(Place, &Exchange)], selection: &Selection, report: &mut Report) -> Vec<Probe> {
    let mut steps: Vec<Step> = Vec::new();
    let mut cookies = step::Cookies::default();
    for (place, exchange) in exchanges.iter().take(MAX_STEPS) {
        if selection.is_separate {
            cookies = step::Cookies::default();
        }
        steps.extend(step::step(place, exchange, &mut cookies, report));
    }
    if let Some((place, _)) = exchanges.get(MAX_STEPS) {
        report.left_out(place, format!("the requests of the page after the first {MAX_STEPS}"));
    }
    let comments = report.take_comments();
    if selection.is_separate || steps.len() == 1 {
        let probe = |step: Step| Probe { comments: step.comments, ..Probe::new(Kind::Http(Box::new(step.request))) };
        return steps.into_iter().map(probe).collect();
    }
    if steps.is_empty() {
        return Vec::new();
    }
    let title = Some(Text::literal(page_title(title, exchanges)));
    vec![Probe { comments, title, ..Probe::new(Kind::Chain { init_keys: Vec::new(), steps }) }]
}

/// Returns the title of a chain: that of the page, or the host and the path of a URL, without what may be secret.
fn page_title(title: &str, exchanges: &[(Place, &Exchange)]) -> String {
    let from_url = |text: &str| {
        let url = url::Url::parse(text).ok()?;
        Some(format!("{}{}", url.host_str()?, url.path()))
    };
    let first = exchanges.first().and_then(|(_, exchange)| from_url(&exchange.request.url));
    let of_title = from_url(title).or_else(|| {
        let title = crate::redaction::redact_credentials(title.trim());
        (!title.is_empty()).then(|| title.into_owned())
    });
    of_title.or(first).unwrap_or_else(|| "page".to_owned())
}
