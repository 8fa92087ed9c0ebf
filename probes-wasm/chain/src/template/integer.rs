//! Integers of any size, stored as decimal digits.

use serde_json::Number;

/// An integer of any size.
#[derive(Debug)]
pub struct Integer {
    pub negative: bool,
    /// The decimal digits, without leading zeros.
    pub digits: String,
}

/// The most digits that are converted to another base. The time of the conversion grows with the square of their
/// number. Python's limit for parsing integers is the same.
const MAX_CONVERTED_DIGITS: usize = 4300;

/// Returns true if Python's `json` parses the number as a float: if it has a point or an exponent.
pub fn is_float(number: &Number) -> bool {
    number.to_string().contains(['.', 'e', 'E'])
}

impl Integer {
    pub fn from_number(number: &Number) -> Self {
        let text = number.to_string();
        let digits = text.trim_start_matches('-').trim_start_matches('0');
        let negative = text.starts_with('-') && !digits.is_empty();
        Self { negative, digits: if digits.is_empty() { "0" } else { digits }.to_owned() }
    }

    /// Converts the integer to a float.
    ///
    /// # Errors
    /// Returns a sentence if it is larger than the largest float, about 1.8 × 10^308.
    pub fn to_float(&self) -> Result<f64, &'static str> {
        let float: f64 = self.digits.parse().unwrap_or(f64::INFINITY);
        if !float.is_finite() {
            return Err("the integer is too large for a float");
        }
        Ok(if self.negative { -float } else { float })
    }

    /// Returns the character with this code point.
    ///
    /// # Errors
    /// Returns a sentence if no character has this code point.
    pub fn to_character(&self) -> Result<char, &'static str> {
        let code = self.digits.parse().ok().filter(|_| !self.negative);
        code.and_then(char::from_u32).ok_or("no character has that number")
    }

    /// Returns the digits in base 2, 8 or 16, for 1, 3 or 4 `bits_per_digit`.
    ///
    /// # Errors
    /// Returns a sentence if there are more than 4300 decimal digits.
    pub fn in_base(&self, bits_per_digit: u32) -> Result<String, String> {
        if self.digits.len() > MAX_CONVERTED_DIGITS {
            return Err(format!("the integer has more than {MAX_CONVERTED_DIGITS} digits"));
        }
        // Limbs of 24 bits, which is a whole number of digits in each of the bases.
        let mut limbs: Vec<u32> = Vec::new();
        for digit in self.digits.bytes() {
            let mut carry = u32::from(digit - b'0');
            for limb in &mut limbs {
                let wide = *limb * 10 + carry;
                *limb = wide & 0x00ff_ffff;
                carry = wide >> 24;
            }
            if carry > 0 {
                limbs.push(carry);
            }
        }
        let digits = limbs.iter().rev().map(|limb| match bits_per_digit {
            1 => format!("{limb:024b}"),
            3 => format!("{limb:08o}"),
            _ => format!("{limb:06x}"),
        });
        let digits: String = digits.collect();
        let digits = digits.trim_start_matches('0');
        Ok(if digits.is_empty() { "0" } else { digits }.to_owned())
    }
}

impl From<bool> for Integer {
    fn from(truth: bool) -> Self {
        Self { negative: false, digits: u8::from(truth).to_string() }
    }
}

impl std::fmt::Display for Integer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{}", self.digits)
    }
}
