//! Text that is safe to print on a terminal or in a log.
//!
//! Most text that the program prints is not its own: titles and settings of an operator, texts of components, answers
//! of targets. Such text must not move the cursor, change colours, begin a line, or look like other text than it is.
//!
//! - [`StyledText`] is the text of an output. It escapes all text that is added to it.
//! - [`escape`] and [`excerpt`] escape text for other uses, and [`escape_json`] JSON. [`cut`] bounds a text by its
//!   length after escaping.
//! - [`Form::finish`] is the last step before an output is written. It lets only line breaks and styles pass.

mod escaping;
mod form;
mod styled_text;

pub use self::escaping::{cut, escape, escape_json, excerpt, is_printable};
pub use self::form::Form;
pub use self::styled_text::{StyledText, filter};
