//! The fifty symbols of the made-up market, and roughly what they cost and how often they trade.

/// What is known of a symbol beforehand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing {
    /// Name, as Finnhub has it.
    pub(super) name: &'static str,
    /// Digits of a price after the point.
    pub(super) price_decimals: u8,
    /// First price, in units of the last digit.
    pub(super) price: i64,
    /// Digits of a size after the point.
    pub(super) size_decimals: u8,
    /// How often it trades, relative to the others.
    pub(super) weight: u32,
}

const fn listing(
    name: &'static str,
    price_decimals: u8,
    price: i64,
    size_decimals: u8,
    weight: u32,
) -> Listing {
    Listing {
        name,
        price_decimals,
        price,
        size_decimals,
        weight,
    }
}

pub(super) const LISTINGS: [Listing; 50] = [
    listing("BINANCE:BTCUSDT", 2, 6_425_000, 5, 100),
    listing("BINANCE:ETHUSDT", 2, 318_050, 4, 70),
    listing("BINANCE:SOLUSDT", 2, 15_234, 3, 45),
    listing("BINANCE:BNBUSDT", 2, 58_510, 3, 30),
    listing("BINANCE:XRPUSDT", 4, 5312, 0, 30),
    listing("BINANCE:DOGEUSDT", 5, 12_345, 0, 28),
    listing("BINANCE:ADAUSDT", 4, 4521, 1, 18),
    listing("BINANCE:TRXUSDT", 5, 12_870, 1, 16),
    listing("BINANCE:AVAXUSDT", 2, 2841, 2, 15),
    listing("BINANCE:SHIBUSDT", 8, 1734, 0, 14),
    listing("BINANCE:LINKUSDT", 3, 14_125, 2, 14),
    listing("BINANCE:DOTUSDT", 3, 6214, 2, 13),
    listing("BINANCE:LTCUSDT", 2, 7235, 3, 12),
    listing("BINANCE:BCHUSDT", 1, 3854, 3, 11),
    listing("BINANCE:NEARUSDT", 3, 5312, 1, 11),
    listing("BINANCE:MATICUSDT", 4, 5634, 1, 11),
    listing("BINANCE:PEPEUSDT", 8, 1127, 0, 11),
    listing("BINANCE:UNIUSDT", 3, 7842, 2, 10),
    listing("BINANCE:ICPUSDT", 3, 9471, 2, 9),
    listing("BINANCE:APTUSDT", 3, 7125, 2, 9),
    listing("BINANCE:ETCUSDT", 2, 2248, 2, 9),
    listing("BINANCE:FILUSDT", 3, 4412, 2, 8),
    listing("BINANCE:ARBUSDT", 4, 8123, 1, 8),
    listing("BINANCE:OPUSDT", 3, 1784, 2, 8),
    listing("BINANCE:ATOMUSDT", 3, 6731, 2, 8),
    listing("BINANCE:XLMUSDT", 4, 1034, 0, 8),
    listing("BINANCE:HBARUSDT", 5, 7841, 0, 7),
    listing("BINANCE:INJUSDT", 2, 2412, 2, 7),
    listing("BINANCE:SUIUSDT", 4, 9812, 1, 7),
    listing("BINANCE:RNDRUSDT", 3, 7412, 2, 7),
    listing("BINANCE:STXUSDT", 4, 18_412, 1, 6),
    listing("BINANCE:IMXUSDT", 4, 15_123, 1, 6),
    listing("BINANCE:GRTUSDT", 4, 2134, 0, 6),
    listing("BINANCE:AAVEUSDT", 2, 9845, 3, 6),
    listing("BINANCE:ALGOUSDT", 4, 1412, 0, 6),
    listing("BINANCE:MKRUSDT", 1, 27_450, 4, 5),
    listing("BINANCE:FTMUSDT", 4, 6123, 1, 5),
    listing("BINANCE:SANDUSDT", 4, 3412, 0, 5),
    listing("BINANCE:MANAUSDT", 4, 3534, 0, 5),
    listing("BINANCE:AXSUSDT", 3, 6214, 2, 5),
    listing("BINANCE:EGLDUSDT", 2, 3245, 2, 4),
    listing("BINANCE:THETAUSDT", 3, 1642, 1, 4),
    listing("BINANCE:EOSUSDT", 4, 5812, 1, 4),
    listing("BINANCE:XTZUSDT", 4, 7812, 1, 4),
    listing("BINANCE:FLOWUSDT", 4, 6612, 1, 3),
    listing("BINANCE:CHZUSDT", 5, 7412, 0, 3),
    listing("BINANCE:CRVUSDT", 4, 3012, 1, 3),
    listing("BINANCE:SNXUSDT", 3, 1821, 1, 3),
    listing("BINANCE:DYDXUSDT", 3, 1412, 1, 3),
    listing("BINANCE:LDOUSDT", 3, 1734, 2, 3),
];

/// The names of the fifty symbols, the most traded first.
pub const SYMBOLS: [&str; 50] = {
    let mut names = [""; 50];
    let mut index = 0;
    while index < names.len() {
        names[index] = LISTINGS[index].name;
        index += 1;
    }
    names
};

/// What is known of `name`; a symbol that is not listed costs about what its name says, by a hash.
pub(super) fn find(name: &str) -> (String, Listing) {
    let known = LISTINGS
        .iter()
        .find(|listing| listing.name == name)
        .copied();
    let unknown = || {
        let hash = name
            .bytes()
            .fold(17_i64, |hash, byte| (hash * 31 + i64::from(byte)) % 90_000);
        listing("", 2, 10_000 + hash, 2, 10)
    };
    (name.to_string(), known.unwrap_or_else(unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_fifty_different_ones() {
        let names: std::collections::BTreeSet<_> = SYMBOLS.into_iter().collect();
        assert_eq!(names.len(), 50);
        assert!(
            names
                .iter()
                .all(|name| name.starts_with("BINANCE:") && name.ends_with("USDT"))
        );
    }
}
