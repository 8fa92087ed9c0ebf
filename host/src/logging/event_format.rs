//! The format of an event of the log: one line, as text or as JSON.

use std::fmt::{self, Debug, Write};
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use sentrynet::printable::{Form, StyledText, cut, excerpt};
use sentrynet::redaction::LateRedactor;
use sentrynet::time_format::{Zone, rfc3339};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The greatest length of a message and of the value of a field, after its characters are escaped. Longer ones are cut.
pub const MAX_TEXT_BYTES: usize = 4096;

/// Formats events as one line each. Secrets are redacted from every value, and values are cut and escaped.
pub struct EventFormat {
    pub form: Form,
    pub redactor: LateRedactor,
}

impl<S, N> FormatEvent<S, N> for EventFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields { redactor: &self.redactor, message: String::new(), others: Vec::new() };
        event.record(&mut fields);
        let level = event.metadata().level();
        if self.form == Form::Json {
            return writeln!(out, "{}", json_line(*level, &fields.message, fields.others));
        }
        let mut line = start_of_line(*level);
        // Only libraries open spans; their events are logged if SENTRYNET_LOG asks for them.
        for span in context.event_scope().into_iter().flat_map(tracing_subscriber::registry::Scope::from_root) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.as_str());
            line.push(&format!(" {}{{{}}}:", span.name(), excerpt(&self.redactor.redact(fields), MAX_TEXT_BYTES)));
        }
        if !fields.message.is_empty() {
            line.push(&format!(" {}", excerpt(&fields.message, MAX_TEXT_BYTES)));
        }
        for (name, value) in &fields.others {
            line.push(" ");
            line.push_styled(Style::new().italic(), name);
            line.push_styled(DIM, "=");
            line.push(&excerpt(&value.to_string(), MAX_TEXT_BYTES));
        }
        line.end_line();
        if out.has_ansi_escapes() { out.write_str(line.as_ansi()) } else { out.write_str(&line.to_plain()) }
    }
}

/// Returns a line of the log as text, with a message and nothing else.
pub fn text_line(level: Level, message: &str) -> StyledText {
    let mut line = start_of_line(level);
    line.push_line(&format!(" {message}"));
    line
}

/// Returns the local time with its offset from UTC, and the level.
fn start_of_line(level: Level) -> StyledText {
    let mut line = StyledText::new();
    line.push_styled(DIM, &Zone::local().rfc3339(SystemTime::now()));
    line.push(" ");
    line.push_styled(level_style(level), &format!("{level:>5}"));
    line
}

const DIM: Style = Style::new().dimmed();

/// Returns a line of the JSON log, without the line break. Its time is in UTC. The fields come after the message.
pub fn json_line(level: Level, message: &str, fields: Vec<(&'static str, FieldValue)>) -> String {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), rfc3339(SystemTime::now()).into());
    line.insert("level".to_owned(), level.as_str().into());
    line.insert("message".to_owned(), cut_for_json(message).into());
    for (name, value) in fields {
        let value = match value {
            FieldValue::Other(value) => value,
            FieldValue::Text(text) | FieldValue::Formatted(text) => cut_for_json(&text).into(),
        };
        line.entry(name).or_insert(value);
    }
    Value::Object(line).to_string()
}

/// Returns the beginning of a text, so long that it has at most [`MAX_TEXT_BYTES`] after escaping, and an ellipsis if
/// there is more. The text is not escaped here, but by JSON.
fn cut_for_json(text: &str) -> String {
    let mut short = cut(text.to_owned(), MAX_TEXT_BYTES);
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn level_style(level: Level) -> Style {
    let color = match level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        Level::DEBUG => AnsiColor::Blue,
        Level::TRACE => AnsiColor::Magenta,
    };
    color.on_default()
}

/// The message and the fields of an event, without secrets.
struct Fields<'r> {
    redactor: &'r LateRedactor,
    message: String,
    others: Vec<(&'static str, FieldValue)>,
}

/// The value of a field.
pub enum FieldValue {
    /// A text, which is quoted in the text format of the log.
    Text(String),
    /// A value that was formatted as text, which is not quoted.
    Formatted(String),
    /// A number or a truth value.
    Other(Value),
}

/// Formats the value for the text format of the log.
impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Formatted(text) => f.write_str(text),
            Self::Other(value) => write!(f, "{value}"),
        }
    }
}

impl Fields<'_> {
    /// Returns a formatted value without secrets. Formatting a long value stops at [`MAX_TEXT_BYTES`].
    fn format(&self, value: &fmt::Arguments<'_>) -> String {
        let mut text = BoundedValue(String::new());
        if text.write_fmt(*value).is_err() {
            // By the ellipsis, the redactor recognises a secret that is cut at the end of the text.
            text.0.push('…');
        }
        self.redactor.redact(&text.0).into_owned()
    }

    fn push(&mut self, field: &Field, value: FieldValue) {
        match (field.name(), value) {
            ("message", FieldValue::Text(text) | FieldValue::Formatted(text)) => self.message = text,
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.push(field, FieldValue::Formatted(self.format(&format_args!("{value:?}"))));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, FieldValue::Text(self.format(&format_args!("{value}"))));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push(field, FieldValue::Other(value.into()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push(field, FieldValue::Other(value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.push(field, FieldValue::Other(value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push(field, FieldValue::Other(value.into()));
    }
}

/// A writer that fails once it has [`MAX_TEXT_BYTES`].
struct BoundedValue(String);

impl Write for BoundedValue {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let bytes_left = MAX_TEXT_BYTES - self.0.len();
        self.0.push_str(&more[..more.floor_char_boundary(bytes_left)]);
        if more.len() > bytes_left { Err(fmt::Error) } else { Ok(()) }
    }
}
