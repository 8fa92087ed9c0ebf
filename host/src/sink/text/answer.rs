//! The answer of an HTTP target to the request that a run failed over: which it was, and its first lines.

use anstyle::Style;

use super::wrapping::wrap;
use crate::printable::{StyledText, escape};
use crate::run::evidence::{Exchange, Http, Response};

/// The maximum number of lines of a body that are shown.
const MAX_LINES: usize = 8;
/// The maximum indentation of a line of a body, in characters.
const MAX_INDENT: usize = 16;
const DIM: Style = Style::new().dimmed();

/// Writes what a target has answered, in lines of at most `width` characters. Writes nothing if the evidence has no
/// HTTP response.
pub fn write_answer(evidence: Option<&Exchange>, width: usize, into: &mut StyledText) {
    let Some(Exchange::Http(http)) = evidence else { return };
    let Some(response) = &http.response else { return };
    let has_text = response.body.text.as_ref().is_some_and(|text| !text.trim().is_empty());
    let heading = format!("{}{}", heading(http, response), if has_text { ":" } else { "" });
    for (index, line) in wrap(&escape(&heading), width - 6, MAX_LINES).iter().enumerate() {
        into.push(if index == 0 { "    " } else { "      " });
        into.push(line);
        into.end_line();
    }
    if let Some(text) = response.body.text.as_deref().filter(|_| has_text) {
        let is_cut = response.body.size > text.len() as u64;
        for line in first_lines(text, is_cut, width - 6) {
            into.push("      ");
            into.push_styled(DIM, &line);
            into.end_line();
        }
    }
}

/// Returns a sentence about the response, such as `GET https://example.org/ answered 503 with text/html, 197 bytes`.
fn heading(http: &Http, response: &Response) -> String {
    let Http { method, url, redirects, .. } = http;
    let header = |wanted: &str| response.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let media_type = header("content-type");
    let media_type = media_type.map(|(_, value)| value.split(';').next().unwrap_or_default().trim());
    let has_coding = header("content-encoding").is_some();
    let size = response.body.size;
    let bytes = if size == 1 { "1 byte".to_owned() } else { format!("{size} bytes") };
    let body = match (media_type.filter(|media_type| !media_type.is_empty()), &response.body.text) {
        _ if size == 0 && has_coding => " with no body that could be decoded".to_owned(),
        _ if size == 0 => " without a body".to_owned(),
        (Some(media_type), Some(_)) => format!(" with {media_type}, {bytes}"),
        (None, Some(_)) => format!(" with {bytes}"),
        (Some(media_type), None) => format!(" with {media_type}, {bytes}, no text"),
        (None, None) => format!(" with {bytes}, no text"),
    };
    let after = match redirects.len() {
        0 => String::new(),
        1 => " after a redirect".to_owned(),
        number => format!(" after {number} redirects"),
    };
    format!("{method} {url} answered {}{body}{after}", response.status)
}

/// Returns the first lines of a text that are not blank, of at most `width` characters and with their indentation. The
/// last one ends with an ellipsis if there is more.
fn first_lines(text: &str, is_cut: bool, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text.lines().filter(|line| !line.trim().is_empty());
    for line in rest.by_ref() {
        let indent =
            line.chars().take_while(|c| c.is_whitespace()).map(|c| if c == '\t' { 2 } else { 1 }).sum::<usize>();
        let indent = indent.min(MAX_INDENT).min(width / 2);
        // One line more than there is space for shows that there is more.
        let max_lines = MAX_LINES + 1 - lines.len();
        let wrapped = wrap(&escape(&line.replace('\t', " ")), width - indent, max_lines);
        lines.extend(wrapped.into_iter().map(|line| format!("{:indent$}{line}", "")));
        if lines.len() > MAX_LINES {
            break;
        }
    }
    let has_more = lines.len() > MAX_LINES || rest.next().is_some() || is_cut;
    lines.truncate(MAX_LINES);
    if let Some(last) = lines.last_mut().filter(|_| has_more) {
        // Leaves space for the ellipsis.
        let beginning: String = last.chars().take(width - 2).collect();
        *last = format!("{} …", beginning.trim_end_matches([' ', '…']));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::evidence::{Excerpt, Redirect};

    fn plain(content_type: Option<&str>, body: &[u8], size: u64, width: usize) -> String {
        let content_type = content_type.map(|value| ("content-type".to_owned(), value.to_owned()));
        let http = Http {
            method: "GET".to_owned(),
            url: "https://example.org/health".to_owned(),
            response: Some(Response {
                status: 503,
                headers: content_type.into_iter().collect(),
                body: Excerpt::new(body, size),
            }),
            ..Http::default()
        };
        let mut text = StyledText::new();
        write_answer(Some(&Exchange::Http(Box::new(http))), width, &mut text);
        text.to_plain()
    }

    /// Checks the lines of a whole body.
    #[track_caller]
    fn check(content_type: Option<&str>, body: &[u8], expected: &str) {
        assert_eq!(plain(content_type, body, body.len() as u64, 80), expected.trim_start_matches('\n'));
    }

    #[test]
    fn an_answer_has_its_status_its_kind_and_its_first_lines() {
        check(
            Some("text/html; charset=utf-8"),
            b"<html>\r\n\r\n<head>\r\n\t<title>503</title>\r\n</head>\r\n</html>\r\n",
            "
    GET https://example.org/health answered 503 with text/html, 57 bytes:
      <html>
      <head>
        <title>503</title>
      </head>
      </html>
",
        );
        let heading = "    GET https://example.org/health answered 503";
        check(None, b"down", &format!("{heading} with 4 bytes:\n      down\n"));
        check(Some("text/plain"), b"", &format!("{heading} without a body\n"));
        check(Some("text/plain"), b"\n", &format!("{heading} with text/plain, 1 byte\n"));
        check(None, b"\0\x01", &format!("{heading} with 2 bytes, no text\n"));
        let image = plain(Some("image/png"), b"\x89PNG\r\n\x1a\n\0", 2000, 80);
        assert_eq!(image, format!("{heading} with image/png, 2000 bytes, no\n      text\n"));
    }

    #[test]
    fn a_long_body_is_cut_with_an_ellipsis() {
        let lines = |text: String| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        let numbers: String = (0..20).map(|number| format!("{number}\n")).collect();
        let shown = lines(plain(None, numbers.as_bytes(), 50, 80));
        assert_eq!((shown.len(), &*shown[0], &*shown[7]), (8, "      0", "      7 …"));
        let one_line = lines(plain(None, "{\"a\": 1}, ".repeat(200).as_bytes(), 9000, 80));
        assert_eq!((one_line.len(), one_line[7].ends_with("1}, …")), (8, true), "{one_line:#?}");
        let without_spaces = lines(plain(None, &[b'x'; 2048], 2048, 80));
        assert_eq!((without_spaces.len(), without_spaces[7].ends_with("x …")), (8, true), "{without_spaces:#?}");
        assert_eq!(lines(plain(None, b"begins", 9000, 80)), ["      begins …"]);
        for width in [40, 41, 80] {
            let deep = format!("{}x\n{}\n", " ".repeat(200), "y ".repeat(900));
            let text = plain(Some("text/plain"), deep.as_bytes(), 9000, width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn what_a_target_sends_is_escaped() {
        let text = plain(Some("\u{1b}[2Jx"), "a\u{1b}[2J\u{202e}b\rc".as_bytes(), 11, 80);
        assert!(text.contains("with \\u{1b}[2Jx, 11 bytes:\n      a\\u{1b}[2J\\u{202e}b\\rc\n"), "{text:?}");
    }

    #[test]
    fn redirects_are_counted_and_other_evidence_has_no_answer() {
        let redirect = Redirect { status: 302, from: "https://example.org/".to_owned() };
        let mut http = Http { redirects: vec![redirect], ..Http::default() };
        let response = Response { status: 200, ..Response::default() };
        assert!(heading(&http, &response).ends_with("answered 200 without a body after a redirect"));
        let headers = vec![("content-encoding".to_owned(), "gzip".to_owned())];
        let damaged = Response { headers, ..response.clone() };
        assert!(heading(&http, &damaged).ends_with("answered 200 with no body that could be decoded after a redirect"));
        http.redirects.push(http.redirects[0].clone());
        assert!(heading(&http, &response).ends_with(" after 2 redirects"));
        let mut text = StyledText::new();
        write_answer(Some(&Exchange::Http(Box::default())), 80, &mut text);
        write_answer(None, 80, &mut text);
        assert!(text.is_empty());
    }
}
