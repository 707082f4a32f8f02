//! The list of all cases, in one place: the registry and the tests of every backend are made from it.

use futures_util::future::BoxFuture;

use crate::harness::Harness;

/// Begins a case at a fresh place.
pub(crate) type Start = fn() -> BoxFuture<'static, ()>;

/// One claim of the contract, to be checked against the stores of one harness.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The clause and the claim.
    pub name: &'static str,
    pub(crate) start: Start,
}

/// Every case, for the stores of `H`.
pub fn cases<H: Harness>() -> Vec<Case> {
    crate::each_case!(registry H)
}

/// Makes one named `#[test]` of every case, for the stores of a [`Harness`].
#[macro_export]
macro_rules! suite {
    ($harness:ty) => {
        $crate::each_case!(tests $harness);
    };
}

/// The list: the cases by clause.
#[doc(hidden)]
#[macro_export]
macro_rules! each_case {
    ($what:ident $harness:ty) => {
        $crate::expand_cases! { $what $harness;
            order {
                c1_1_ids_increase_in_the_order_of_appends
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! expand_cases {
    (tests $harness:ty; $($room:ident { $($case:ident)* })*) => {
        $($(
            #[test]
            fn $case() {
                $crate::run::<$harness>(stringify!($case));
            }
        )*)*
    };
    (registry $harness:ty; $($room:ident { $($case:ident)* })*) => {
        vec![$($(
            $crate::Case {
                name: stringify!($case),
                start: || Box::pin(async {
                    $crate::cases::$room::$case($crate::place::Place::fresh::<$harness>().await).await;
                }),
            },
        )*)*]
    };
}
