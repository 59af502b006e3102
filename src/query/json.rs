//! Arroyo's functions over JSON text, `extract_json` and its like, beside `json_get` and the others of
//! `datafusion-functions-json`: for topics that are read as `raw_string`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListBuilder, StringViewArray, StringViewBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value;
use serde_json_path::JsonPath;

/// Adds every JSON function to a session.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    datafusion_functions_json::register_all(registry)?;
    for answer in [Answer::All, Answer::First, Answer::FirstText] {
        registry.register_udf(Arc::new(ScalarUDF::new_from_impl(Extract {
            answer,
            signature: Signature::string(2, Volatility::Immutable),
        })))?;
    }
    Ok(())
}

/// What of the matches of a JSONPath is the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    /// `extract_json(json, path)`: all, each as JSON text.
    All,
    /// `get_first_json_object(json, path)`: the first, as JSON text.
    First,
    /// `extract_json_string(json, path)`: the first, if it is a string, without quotes.
    FirstText,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extract {
    answer: Answer,
    signature: Signature,
}

impl ScalarUDFImpl for Extract {
    fn name(&self) -> &str {
        match self.answer {
            Answer::All => "extract_json",
            Answer::First => "get_first_json_object",
            Answer::FirstText => "extract_json_string",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.answer {
            Answer::All => {
                DataType::List(Arc::new(Field::new_list_field(DataType::Utf8View, true)))
            }
            Answer::First | Answer::FirstText => DataType::Utf8View,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let name = self.name();
        let [texts, ColumnarValue::Scalar(path)] = args.args.as_slice() else {
            return plan_err!("{name}()'s path must be a constant such as '$.data[0].s'");
        };
        let Some(Some(path)) = path.try_as_str() else {
            return plan_err!("{name}()'s path must be a text such as '$.data[0].s'");
        };
        let path = match JsonPath::parse(path) {
            Ok(path) => path,
            Err(error) => return plan_err!("{name}(): '{path}' is no JSONPath: {error}"),
        };
        let is_scalar = matches!(texts, ColumnarValue::Scalar(_));
        let texts = texts.to_array(if is_scalar { 1 } else { args.number_rows })?;
        let texts = cast(&texts, &DataType::Utf8View)?;
        let found = self.extract(texts.as_string_view(), &path);
        Ok(match is_scalar {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?),
            false => ColumnarValue::Array(found),
        })
    }
}

impl Extract {
    fn extract(&self, texts: &StringViewArray, path: &JsonPath) -> ArrayRef {
        let parse = |text: Option<&str>| serde_json::from_str::<Value>(text?).ok();
        match self.answer {
            Answer::All => {
                let mut found = ListBuilder::new(StringViewBuilder::new());
                for text in texts {
                    match parse(text) {
                        Some(json) => found.append_value(
                            path.query(&json)
                                .iter()
                                .map(|match_| Some(match_.to_string())),
                        ),
                        None => found.append_null(),
                    }
                }
                Arc::new(found.finish())
            }
            Answer::First => Arc::new(
                texts
                    .iter()
                    .map(|text| Some(path.query(&parse(text)?).first()?.to_string()))
                    .collect::<StringViewArray>(),
            ),
            Answer::FirstText => Arc::new(
                texts
                    .iter()
                    .map(|text| Some(path.query(&parse(text)?).first()?.as_str()?.to_string()))
                    .collect::<StringViewArray>(),
            ),
        }
    }
}
