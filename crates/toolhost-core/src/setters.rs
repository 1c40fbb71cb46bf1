//! Configurations may get more fields, so nobody outside can write one as a literal: [`setters`] gives each field a
//! method, for one expression in place of a variable that is changed.

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
