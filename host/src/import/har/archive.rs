//! The parts of an HTTP archive that an import needs.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// The maximal number of requests, and of pages.
const MAX_ENTRIES: usize = 20_000;
/// The maximal number of headers, cookies and parameters of a request.
const MAX_FIELDS: usize = 1000;

/// An archive.
#[derive(serde::Deserialize)]
pub struct Archive {
    log: Log,
}

#[derive(serde::Deserialize)]
struct Log {
    #[serde(default)]
    pages: Bounded<Page, MAX_ENTRIES>,
    entries: Bounded<Exchange, MAX_ENTRIES>,
}

#[derive(serde::Deserialize)]
struct Page {
    #[serde(default)]
    id: String,
    title: Option<String>,
}

/// A request with its response.
#[derive(serde::Deserialize)]
pub struct Exchange {
    pub pageref: Option<String>,
    /// The kind of resource, as Chromium names it.
    #[serde(rename = "_resourceType")]
    pub resource_type: Option<String>,
    pub request: Request,
    pub response: Option<Response>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    pub method: String,
    pub url: String,
    #[serde(default)]
    headers: Bounded<Field, MAX_FIELDS>,
    pub post_data: Option<PostData>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    /// 0 or less if there was none.
    pub status: Option<f64>,
    #[serde(default)]
    headers: Bounded<Field, MAX_FIELDS>,
    #[serde(default)]
    cookies: Bounded<Field, MAX_FIELDS>,
    pub content: Option<Content>,
    #[serde(rename = "redirectURL")]
    pub redirect_url: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    pub mime_type: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostData {
    pub mime_type: Option<String>,
    pub text: Option<String>,
    pub encoding: Option<String>,
    #[serde(default)]
    params: Bounded<Field, MAX_FIELDS>,
}

/// A header, a cookie or a parameter.
#[derive(serde::Deserialize)]
pub struct Field {
    pub name: String,
    pub value: Option<String>,
}

impl Archive {
    /// Parses an archive.
    ///
    /// # Errors
    /// Returns a line and a message, which repeats nothing of the text.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        serde_json::from_str(text).map_err(|error| {
            let message = match error.classify() {
                _ if error.to_string().starts_with(TOO_MANY) => TOO_MANY,
                serde_json::error::Category::Data => "not an HTTP archive: a value is missing or has another type",
                _ => "not an HTTP archive: not JSON",
            };
            (error.line().max(1), message.to_owned())
        })
    }

    pub fn entries(&self) -> &[Exchange] {
        &self.log.entries.0
    }

    /// Returns the titles of the pages by their names.
    pub fn titles(&self) -> HashMap<&str, &str> {
        let pages = self.log.pages.0.iter();
        pages.map(|page| (page.id.as_str(), page.title.as_deref().unwrap_or_default())).collect()
    }
}

impl Request {
    pub fn headers(&self) -> &[Field] {
        &self.headers.0
    }

    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.0.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        field.and_then(|field| field.value.as_deref())
    }
}

impl PostData {
    pub fn params(&self) -> &[Field] {
        &self.params.0
    }
}

impl Response {
    /// Returns the names of the cookies that the response sets.
    pub fn cookie_names(&self) -> impl Iterator<Item = &str> {
        let lines = self.headers.0.iter().filter(|field| field.name.eq_ignore_ascii_case("set-cookie"));
        // A browser writes several headers of one name as lines of one.
        let lines = lines.filter_map(|field| field.value.as_deref()).flat_map(str::lines);
        let of_headers = lines.filter_map(|line| line.split('=').next());
        of_headers.chain(self.cookies.0.iter().map(|cookie| cookie.name.as_str())).map(str::trim)
    }
}

/// A list of at most `MAX` items; null is an empty one.
struct Bounded<T, const MAX: usize>(Vec<T>);

const TOO_MANY: &str = "more than 20,000 requests, or 1,000 headers of one: split the archive";

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemsVisitor::<T, MAX>(PhantomData))
    }
}

struct ItemsVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ItemsVisitor<T, MAX> {
    type Value = Bounded<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Bounded(Vec::new()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            if list.len() >= MAX {
                return Err(A::Error::custom(TOO_MANY));
            }
            list.push(item);
        }
        Ok(Bounded(list))
    }
}
