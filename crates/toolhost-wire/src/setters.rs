//! [`setters`](crate::setters): types that may get more fields are `#[non_exhaustive]` and cannot be
//! written as literals in other crates, so each field gets a `with_` method.

/// Defines `fn with_FIELD(self, value) -> Self` for each field. Setters after `into` take
/// `impl Into`; number fields do not, since the type of a literal could not be inferred.
#[doc(hidden)]
#[macro_export]
macro_rules! setters {
    (
        $of:ident
        $({ $($with:ident: $field:ident: $type:ty),+ $(,)? })?
        $(into { $($with_into:ident: $into:ident: $into_type:ty),+ $(,)? })?
    ) => {
        impl $of {
            $($(
                #[doc = concat!("The same with another [`", stringify!($field), "`](", stringify!($of), "::", stringify!($field), ").")]
                #[must_use]
                pub fn $with(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )+)?
            $($(
                #[doc = concat!("The same with another [`", stringify!($into), "`](", stringify!($of), "::", stringify!($into), ").")]
                #[must_use]
                pub fn $with_into(mut self, $into: impl Into<$into_type>) -> Self {
                    self.$into = $into.into();
                    self
                }
            )+)?
        }
    };
}
