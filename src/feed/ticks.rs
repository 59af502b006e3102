//! Trades of one symbol → a Finnhub-shaped frame. Prices and sizes are written digit for digit.

use bytes::Bytes;

/// One trade, with the venue's own digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tick<'a> {
    pub(super) price: &'a str,
    pub(super) size: &'a str,
    pub(super) event_ms: i64,
    pub(super) id: u64,
}

/// The frame of these trades, in this order; `price` and `size` are JSON numbers.
pub(super) fn frame(symbol: &str, ticks: &[Tick<'_>]) -> Bytes {
    use std::io::Write;
    let mut text = Vec::with_capacity(32 + ticks.len() * (96 + symbol.len()));
    let name = serde_json::to_string(symbol).expect("text is always JSON");
    text.extend_from_slice(br#"{"data":["#);
    for (at, tick) in ticks.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let Tick {
            price,
            size,
            event_ms,
            id,
        } = tick;
        write!(
            text,
            r#"{comma}{{"c":null,"p":{price},"s":{name},"t":{event_ms},"v":{size},"i":"{id}"}}"#
        )
        .expect("writing to a Vec cannot fail");
    }
    text.extend_from_slice(br#"],"type":"trade"}"#);
    Bytes::from(text)
}

/// Whether a text is a number as JSON has it, so that its digits can go on as they are.
pub(super) fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent
            .is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_finnhubs_shape_and_the_venues_digits() {
        let tick = |price, id| Tick {
            price,
            size: "5.23512000",
            event_ms: 7,
            id,
        };
        let frame = frame("KRAKEN:BTC/USD", &[tick("0.00001000", 1), tick("1e-8", 2)]);
        expect_test::expect![[r#"{"data":[{"c":null,"p":0.00001000,"s":"KRAKEN:BTC/USD","t":7,"v":5.23512000,"i":"1"},{"c":null,"p":1e-8,"s":"KRAKEN:BTC/USD","t":7,"v":5.23512000,"i":"2"}],"type":"trade"}"#]]
            .assert_eq(std::str::from_utf8(&frame).unwrap());
    }

    #[test]
    fn numbers_are_jsons() {
        for number in [
            "0",
            "-0",
            "10",
            "0.10",
            "7296.89000000",
            "1e5",
            "1.5E-08",
            "2e+3",
        ] {
            assert!(is_number(number), "{number}");
            assert!(serde_json::from_str::<f64>(number).is_ok(), "{number}");
        }
        for other in [
            "", "-", ".5", "5.", "01", "+1", "1e", "1e+", "NaN", "0x1", " 1", "1,5", "1e5.5",
        ] {
            assert!(!is_number(other), "{other}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_for_a_number_is_one(text in "[-+0-9.eE]{0,8}") {
            let is_json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            proptest::prop_assert_eq!(is_number(&text), is_json);
        }
    }
}
