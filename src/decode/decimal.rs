//! DECIMAL(p, s) from the digits of a JSON number or numeric string.
//!
//! Our own, because Arrow's parser overflows on long exponents. As there, digits beyond the scale
//! are cut off, not rounded.

use super::value::Misfit;

/// Longest number text that is looked at, bytes; digits beyond are no price.
const MAX_TEXT_BYTES: usize = 256;

/// The value in units of 10^-scale.
pub(super) fn parse(text: &str, precision: u8, scale: i8) -> Result<i128, Misfit> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Misfit::Range);
    }
    let (negative, unsigned) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let (mantissa, exponent) = split_exponent(unsigned)?;
    let point = mantissa.iter().position(|&b| b == b'.');
    let whole = &mantissa[..point.unwrap_or(mantissa.len())];
    let fraction = point.map_or(&[][..], |at| &mantissa[at + 1..]);
    if whole.is_empty() && fraction.is_empty() {
        return Err(Misfit::Type);
    }
    if !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(Misfit::Type);
    }
    let wanted = i64::from(scale) + exponent + whole.len() as i64;
    let magnitude = digits(whole.iter().chain(fraction), wanted)?;
    let limit = 10_i128
        .checked_pow(u32::from(precision))
        .ok_or(Misfit::Range)?;
    match magnitude < limit {
        true if negative => Ok(-magnitude),
        true => Ok(magnitude),
        false => Err(Misfit::Range),
    }
}

/// The first `wanted` of the digits as an integer, filled up with zeros.
fn digits<'a>(all: impl Iterator<Item = &'a u8>, wanted: i64) -> Result<i128, Misfit> {
    let mut value = 0_i128;
    let mut taken = 0;
    for digit in all {
        if taken >= wanted {
            return Ok(value);
        }
        value = shift(value, digit - b'0')?;
        taken += 1;
    }
    while taken < wanted && value != 0 {
        value = shift(value, 0)?;
        taken += 1;
    }
    Ok(value)
}

fn shift(value: i128, digit: u8) -> Result<i128, Misfit> {
    value
        .checked_mul(10)
        .and_then(|value| value.checked_add(i128::from(digit)))
        .ok_or(Misfit::Range)
}

/// Mantissa and exponent; an exponent too long to matter is held at a million.
fn split_exponent(unsigned: &[u8]) -> Result<(&[u8], i64), Misfit> {
    let Some(at) = unsigned.iter().position(|b| matches!(b, b'e' | b'E')) else {
        return Ok((unsigned, 0));
    };
    let (negative, digits) = match &unsigned[at + 1..] {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Misfit::Type);
    }
    let exponent = digits.iter().fold(0_i64, |sum, digit| {
        (sum * 10 + i64::from(digit - b'0')).min(1_000_000)
    });
    Ok((&unsigned[..at], if negative { -exponent } else { exponent }))
}
