//! Decodes `sample`.

use super::decoder::Decoder;
use crate::config::section::Section;
use crate::config::table::{Field, Table};
use crate::config::{Sample, SampleRate};

impl Decoder<'_> {
    /// Decodes `sample`: a rate, or a map.
    pub fn sample(&mut self, field: Option<Field>) -> Sample {
        let Some(field) = field else { return Sample::default() };
        if !field.value.is_object() {
            let rate = self.context.accept(&field, SampleRate::read(&field));
            return Sample { rate: rate.unwrap_or_default(), slower_than: None };
        }
        let Some(mut table) = Table::new(field, Section::SAMPLE, &mut self.context) else { return Sample::default() };
        let rate = table.take("rate").and_then(|field| self.context.accept(&field, SampleRate::read(&field)));
        let slower_than = table.take_seconds("slower_than", &mut self.context);
        table.finish(&mut self.context);
        Sample { rate: rate.unwrap_or_default(), slower_than }
    }
}
