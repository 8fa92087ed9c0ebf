//! Integers of any size: as JSON has them, their digits are text.

use serde_json::Number;

#[derive(Debug)]
pub struct Integer {
    pub negative: bool,
    /// Decimal, without leading zeros.
    pub digits: String,
}

/// Python reads no longer ones; what takes time that grows with the square is bounded by it.
const LONGEST: usize = 4300;

/// As Python's `json` decides it.
pub fn is_float(number: &Number) -> bool {
    number.to_string().contains(['.', 'e', 'E'])
}

impl Integer {
    pub fn read(number: &Number) -> Self {
        let text = number.to_string();
        let digits = text.trim_start_matches('-').trim_start_matches('0');
        let negative = text.starts_with('-') && !digits.is_empty();
        Self { negative, digits: if digits.is_empty() { "0" } else { digits }.to_owned() }
    }

    pub fn to_float(&self) -> Result<f64, &'static str> {
        let float: f64 = self.digits.parse().unwrap_or(f64::INFINITY);
        match float.is_finite() {
            true if self.negative => Ok(-float),
            true => Ok(float),
            false => Err("the integer is too large for a float"),
        }
    }

    pub fn to_character(&self) -> Result<char, &'static str> {
        let code = self.digits.parse().ok().filter(|_| !self.negative);
        code.and_then(char::from_u32).ok_or("no character has that number")
    }

    /// The digits in base 2, 8 or 16: of one, three or four `bits`.
    pub fn in_base(&self, bits: u32) -> Result<String, String> {
        if self.digits.len() > LONGEST {
            return Err(format!("the integer has more than {LONGEST} digits"));
        }
        // 24 bits are a whole number of digits in each base.
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
        let digits = limbs.iter().rev().map(|limb| match bits {
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
