//! How an aggregate is held while its window is open, and what that costs.

/// How an aggregate function is held per open window and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// A few numbers.
    Fixed,
    /// A sketch of a limited size, whose last digits depend on the order of the rows.
    Sketch,
    /// Every distinct value.
    Distinct,
    /// Every value.
    Values,
    /// Nothing: the window's rows are kept, to be sorted when it closes.
    Rows,
    /// As DataFusion's accumulator does it; which that is, is not known here.
    Unknown,
}

/// Functions of a fixed size, for which DISTINCT changes nothing.
const INDIFFERENT: [&str; 10] = [
    "min",
    "max",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
    "first_value",
    "last_value",
    "any_value",
    "grouping",
];
/// Functions of a fixed size, unless they are over distinct values.
const FIXED: [&str; 22] = [
    "count",
    "sum",
    "avg",
    "mean",
    "bit_xor",
    "approx_distinct",
    "corr",
    "covar_pop",
    "covar_samp",
    "stddev",
    "stddev_pop",
    "var",
    "var_pop",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
];
/// Functions that keep a t-digest.
const SKETCHES: [&str; 3] = [
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
];
/// Functions that keep every value.
const VALUES: [&str; 5] = [
    "array_agg",
    "string_agg",
    "median",
    "percentile_cont",
    "nth_value",
];

/// How a function of DataFusion is held. `sorted`: it takes its rows in an order of its own only.
pub fn held(function: &str, distinct: bool, sorted: bool) -> Held {
    let is = |names: &[&str]| names.contains(&function);
    match () {
        () if sorted => Held::Rows,
        () if is(&INDIFFERENT) => Held::Fixed,
        () if distinct => Held::Distinct,
        () if is(&FIXED) => Held::Fixed,
        () if is(&SKETCHES) => Held::Sketch,
        () if is(&VALUES) => Held::Values,
        () => Held::Unknown,
    }
}

impl Held {
    /// How it is held, in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Held::Fixed => "fixed size",
            Held::Sketch => "fixed size, approximate",
            Held::Distinct => "every distinct value",
            Held::Values => "every value",
            Held::Rows => "from the rows, at the close",
            Held::Unknown => "an accumulator of DataFusion",
        }
    }

    /// What to beware of.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Held::Fixed | Held::Sketch => None,
            Held::Distinct => Some(
                "keeps every distinct value of an open window, so memory grows with the distinct values",
            ),
            Held::Values => {
                Some("keeps every value of an open window, so memory grows with every tick")
            }
            Held::Rows => Some(
                "wants its rows sorted, so every row of a window is kept until it closes: memory grows with every tick",
            ),
            Held::Unknown => Some("is held as DataFusion does it, which may grow with every tick"),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::functions_aggregate::all_default_aggregate_functions;

    use super::*;

    #[test]
    fn every_function_of_datafusion_is_known() {
        let functions = all_default_aggregate_functions();
        let unknown: Vec<&str> = (functions.iter())
            .map(|function| function.name())
            .filter(|name| held(name, false, false) == Held::Unknown)
            .collect();
        assert_eq!(unknown, Vec::<&str>::new());
    }

    #[test]
    fn distinct_and_order_cost_memory_where_they_mean_something() {
        assert_eq!(held("count", true, false), Held::Distinct);
        assert_eq!(held("max", true, false), Held::Fixed);
        assert_eq!(held("array_agg", true, true), Held::Rows);
        assert_eq!(held("first_value", false, false), Held::Fixed);
        assert_eq!(held("somebodys", false, false), Held::Unknown);
    }
}
