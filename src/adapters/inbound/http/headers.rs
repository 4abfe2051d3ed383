//! Headers that requests may carry as arguments of an operation: how they are read, and what the document says of them.
//!
//! poem-openapi's own headers drop values that are no text, and the request would go on without. Not here: which headers there are
//! (`freshness`, `idempotency`).

use std::{borrow::Cow, marker::PhantomData};

use poem::{Request, RequestBody, http::HeaderMap};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
    types::Type,
};

use super::problem::Problem;

/// What a header says that need not be there.
pub(super) trait Said: Sized + Send + Sync + 'static {
    /// What its text is like.
    fn schema() -> MetaSchema;

    /// Reads it, or that it is not there.
    fn read(headers: &HeaderMap) -> Result<Self, Problem>;
}

/// An argument that a header carries; its name in the document is the argument's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carried<T>(pub(super) T);

/// The header's place in the document.
pub(super) struct Text<T>(PhantomData<T>);

impl<T: Said> Type for Text<T> {
    const IS_REQUIRED: bool = false;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "string".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(T::schema()))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<'a, T: Said> ApiExtractor<'a> for Carried<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = Text<T>;
    type ParamRawType = Text<T>;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(Text::<T>::schema_ref())
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Text<T>>,
    ) -> poem::Result<Self> {
        Ok(Self(T::read(request.headers())?))
    }
}
