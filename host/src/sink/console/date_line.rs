//! The line with the date, which comes before the runs of a day.

use std::time::SystemTime;

use anstyle::Style;

use crate::printable::StyledText;
use crate::time_format::Zone;

/// The date that was written last.
#[derive(Default)]
pub struct DateLine(Option<String>);

impl DateLine {
    /// Writes the date of a run that started at `started`, such as `2026-11-23 Monday, Europe/Berlin`, unless it is the
    /// one that was written last.
    pub fn write_if_changed(&mut self, started: SystemTime, zone: &Zone, into: &mut StyledText) {
        let date = zone.date(started);
        if self.0.as_ref() == Some(&date) {
            return;
        }
        into.push_styled(Style::new().dimmed(), &format!("{date}, {}", zone.name(started)));
        into.end_line();
        self.0 = Some(date);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_written_at_the_start_and_when_it_changes() {
        let (mut date, mut text) = (DateLine::default(), StyledText::new());
        let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_478_400);
        for seconds in [-3601_i64, -1, 0, 86_399, 86_400] {
            let offset = Duration::from_secs(seconds.unsigned_abs());
            let at = if seconds < 0 { midnight - offset } else { midnight + offset };
            date.write_if_changed(at, &Zone::utc(), &mut text);
            text.push_line(&seconds.to_string());
        }
        let expected = "\
            2026-11-23 Monday, UTC\n-3601\n-1\n2026-11-24 Tuesday, UTC\n0\n86399\n2026-11-25 Wednesday, UTC\n86400\n";
        assert_eq!(text.to_plain(), expected);
    }
}
