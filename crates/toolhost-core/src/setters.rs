//! [`setters`]: a builder method for each field of a configuration. Configurations are
//! `#[non_exhaustive]`, so users cannot write them as literals.

/// `fn with_FIELD(self, value) -> Self` for each field, documented by the field itself.
#[doc(hidden)]
#[macro_export]
macro_rules! setters {
    ($of:ident { $($with:ident: $field:ident: $type:ty),+ $(,)? }) => {
        impl $of {
            $(
                #[doc = concat!("The same with another [`", stringify!($field), "`](", stringify!($of), "::", stringify!($field), ").")]
                #[must_use]
                pub fn $with(mut self, $field: impl Into<$type>) -> Self {
                    self.$field = $field.into();
                    self
                }
            )+
        }
    };
}

pub use setters;
