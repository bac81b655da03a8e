//! Parameters of the query string. A value is read with its own rule, and refused in DRF's form.

use std::convert::Infallible;

use poem::{Request, RequestBody, Result};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchemaRef, Registry},
    types::Type,
};

use crate::{rest::problem::Problem, urlencoded};

/// How a parameter's text is read.
pub(crate) trait Parameter: Sized + Send {
    /// The type that the document shows.
    type Shown: Type;
    fn parse(name: &'static str, text: &str) -> std::result::Result<Self, Problem>;
}

/// A parameter that may be missing.
pub(crate) struct Query<T>(pub(crate) Option<T>);

impl<'a, T: Parameter> ApiExtractor<'a> for Query<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = ();
    type ParamRawType = Infallible;

    fn register(registry: &mut Registry) {
        T::Shown::register(registry);
    }

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Query)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(T::Shown::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> Result<Self> {
        let query = request.uri().query().unwrap_or_default();
        let value = urlencoded::value(query, options.name);
        Ok(Self(
            value
                .map(|text| T::parse(options.name, &text))
                .transpose()?,
        ))
    }
}

impl Parameter for String {
    type Shown = String;

    fn parse(name: &'static str, text: &str) -> std::result::Result<Self, Problem> {
        match text.contains('\0') {
            true => Err(Problem::field(name, "Null characters are not allowed.")),
            false => Ok(text.to_owned()),
        }
    }
}

impl Parameter for i64 {
    type Shown = i64;

    fn parse(name: &'static str, text: &str) -> std::result::Result<Self, Problem> {
        text.trim()
            .parse()
            .map_err(|_| Problem::field(name, "A valid integer is required."))
    }
}
