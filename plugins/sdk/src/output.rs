//! Results of tools.

use crate::bindings::toolhost::plugin::types::Output as WitOutput;
use crate::{Error, JsonSchema, Serialize};

pub use crate::bindings::toolhost::plugin::types::{
    Content, EmbeddedResource, Icon, Media, ResourceBody, ResourceLink,
};

/// The content blocks of a result, in order, and optionally structured content for programs.
///
/// ```
/// use toolhost_plugin::Output;
///
/// let chart = vec![0x89, b'P', b'N', b'G'];
/// let output = Output::text("Rain all week:").with_image("image/png", chart);
/// assert_eq!(output.content().len(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Output {
    content: Vec<Content>,
    structured: Option<String>,
}

impl Output {
    /// An empty output.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An output with one text block.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new().with_text(text)
    }

    /// A value as structured content, and the same JSON as text for models that read only text. For a type with a
    /// schema, return [`Json`] instead: the tool then has an output schema.
    ///
    /// # Errors
    ///
    /// The value cannot be serialized as JSON; for example, a map has keys that are not strings.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let json = serde_json::to_string(value)?;
        let mut output = Self::text(json.clone());
        output.structured = Some(json);
        Ok(output)
    }

    /// Adds a text block.
    #[must_use]
    pub fn with_text(self, text: impl Into<String>) -> Self {
        self.with(Content::Text(text.into()))
    }

    /// Adds an image, with a media type such as `image/png`.
    #[must_use]
    pub fn with_image(self, mime_type: impl Into<String>, data: Vec<u8>) -> Self {
        self.with(Content::Image(Media {
            data,
            mime_type: mime_type.into(),
        }))
    }

    /// Adds audio, with a media type such as `audio/wav`.
    #[must_use]
    pub fn with_audio(self, mime_type: impl Into<String>, data: Vec<u8>) -> Self {
        self.with(Content::Audio(Media {
            data,
            mime_type: mime_type.into(),
        }))
    }

    /// Adds any other content block: a link, or an embedded resource.
    #[must_use]
    pub fn with(mut self, content: Content) -> Self {
        self.content.push(content);
        self
    }

    /// Sets the structured content. The content blocks stay as they are.
    ///
    /// # Errors
    ///
    /// As for [`Output::json`].
    pub fn with_structured<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self, Error> {
        self.structured = Some(serde_json::to_string(value)?);
        Ok(self)
    }

    /// The text blocks, one after the other; without any, the structured content.
    #[must_use]
    pub fn to_text(&self) -> String {
        let texts = self.content.iter().filter_map(|content| match content {
            Content::Text(text) => Some(text.as_str()),
            _ => None,
        });
        match (self.content.is_empty(), &self.structured) {
            (true, Some(json)) => json.clone(),
            _ => texts.collect::<Vec<_>>().join("\n"),
        }
    }

    /// The content blocks.
    #[must_use]
    pub fn content(&self) -> &[Content] {
        &self.content
    }

    /// The structured content, as JSON text.
    #[must_use]
    pub fn structured(&self) -> Option<&str> {
        self.structured.as_deref()
    }
}

impl From<WitOutput> for Output {
    fn from(output: WitOutput) -> Self {
        Self {
            content: output.content,
            structured: output.structured,
        }
    }
}

impl From<Output> for WitOutput {
    fn from(output: Output) -> Self {
        Self {
            content: output.content,
            structured: output.structured,
        }
    }
}

/// A value as structured content, and the same JSON as text. Its schema becomes the tool's output schema if it is an
/// object schema.
///
/// ```
/// use toolhost_plugin::{Json, structured, tool};
///
/// #[structured]
/// struct Weather {
///     /// Degrees Celsius.
///     temperature: f64,
/// }
///
/// /// Says how warm it is.
/// #[tool]
/// fn weather() -> Json<Weather> {
///     Json(Weather { temperature: 12.5 })
/// }
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

/// A return type of tools.
///
/// ```
/// use toolhost_plugin::{Error, Json, structured, tool};
///
/// #[structured]
/// struct Size {
///     width: u32,
///     height: u32,
/// }
///
/// /// Measures the window.
/// #[tool(read_only)]
/// fn measure() -> Result<Json<Size>, Error> {
///     Ok(Json(Size { width: 80, height: 24 }))
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "a tool cannot return `{Self}`",
    label = "not what a tool can return",
    note = "a struct goes out as `Json(value)`: return `Json<{Self}>`, and put `#[structured]` on the struct",
    note = "text goes out as a `String`, a number as `value.to_string()` or `Json(value)`, images and several \
            contents as an `Output`"
)]
pub trait IntoResult {
    /// Converts it to the result of the call.
    ///
    /// # Errors
    ///
    /// The tool failed, or its value cannot be serialized as JSON.
    fn into_result(self) -> Result<Output, Error>;

    /// The JSON Schema of the structured content, if there is one.
    #[must_use]
    fn output_schema() -> Option<String> {
        None
    }
}

impl IntoResult for Output {
    fn into_result(self) -> Result<Output, Error> {
        Ok(self)
    }
}

impl IntoResult for Content {
    fn into_result(self) -> Result<Output, Error> {
        Ok(Output::new().with(self))
    }
}

impl IntoResult for String {
    fn into_result(self) -> Result<Output, Error> {
        Ok(Output::text(self))
    }
}

impl IntoResult for &'static str {
    fn into_result(self) -> Result<Output, Error> {
        Ok(Output::text(self))
    }
}

/// Not empty: models take an empty result for a failure.
impl IntoResult for () {
    fn into_result(self) -> Result<Output, Error> {
        Ok(Output::text("Done."))
    }
}

impl<T: Serialize + JsonSchema> IntoResult for Json<T> {
    fn into_result(self) -> Result<Output, Error> {
        Output::json(&self.0)
    }

    fn output_schema() -> Option<String> {
        crate::schema::of_structured::<T>()
    }
}

impl<T: IntoResult, E: Into<Error>> IntoResult for Result<T, E> {
    fn into_result(self) -> Result<Output, Error> {
        self.map_err(Into::into)?.into_result()
    }

    fn output_schema() -> Option<String> {
        T::output_schema()
    }
}
