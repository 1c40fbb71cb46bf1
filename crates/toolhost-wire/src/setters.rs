//! [`setters`](crate::setters): types that may get more fields cannot be written as a literal outside of their crate, so
//! each field gets a method, for one expression in place of a variable that is changed.

/// `fn with_FIELD(self, value) -> Self` for each field, documented by the field itself. Those after `into` take whatever
/// becomes such a value; of numbers that would keep the compiler from knowing what a literal is.
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
