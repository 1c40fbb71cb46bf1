//! Money and food.

use crate::{Answer, finite, same_length};
use toolhost_plugin::{Error, Json, arguments, structured, tool};

#[arguments]
pub struct Investment {
    /// The present value of the investment, in dollars.
    present_value: f64,
    /// The interest rate of the investment, ranging from 0 to 1.
    interest_rate: f64,
    /// The number of periods, in years.
    periods: i64,
}

/// Calculates the future value of an investment.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_future_value(args: Investment) -> Answer<f64> {
    finite(args.present_value * (1.0 + args.interest_rate).powf(args.periods as f64))
}

#[arguments]
pub struct Mortgage {
    /// The amount of the loan.
    loan_amount: f64,
    /// The interest rate of the loan, ranging from 0 to 1.
    interest_rate: f64,
    /// The period of the loan, in years.
    loan_period: i64,
}

/// Calculates the monthly mortgage payment.
#[tool(read_only, idempotent, closed_world)]
pub fn mortgage_calculator(args: Mortgage) -> Answer<f64> {
    let rate = args.interest_rate / 12.0;
    let months = args.loan_period as f64 * 12.0;
    finite(if rate == 0.0 {
        args.loan_amount / months
    } else {
        args.loan_amount * rate / (1.0 - (1.0 + rate).powf(-months))
    })
}

#[arguments]
pub struct Order {
    item: Vec<Item>,
    quantity: Vec<Quantity>,
    price: Vec<Price>,
}

/// the name of the product, possible options ['fries', 'dumplings', 'pizza', 'soda', 'salad', 'rice bowl', 'burger',
/// 'cake', 'cookie', 'ice cream', 'sandwich', 'hot dog', 'noodles', 'chicken', 'beef', 'pork', 'fish', 'shrimp',
/// 'lobster', 'crab', 'steak'].
// The calls order other things too, and get them.
#[arguments]
struct Item(#[expect(dead_code)] String);

/// the number of the product purchased.
#[arguments]
struct Quantity(i64);

/// the number of the product purchased.
#[arguments]
struct Price(f64);

/// Orders food for a customer.Return the total price.
#[tool(read_only, idempotent, closed_world)]
pub fn order_food(args: Order) -> Answer<f64> {
    same_length(&args.item, &args.quantity)?;
    same_length(&args.item, &args.price)?;
    let lines = args.quantity.iter().zip(&args.price);
    finite(
        lines
            .map(|(quantity, price)| quantity.0 as f64 * price.0)
            .sum(),
    )
}

#[arguments]
pub struct Person {
    /// The weight of the person in kilograms.
    weight: f64,
    /// The height of the person in centimeters.
    height: f64,
    /// The age of the person in years.
    age: f64,
    /// The gender of the person. Possible options [male, female, other].
    gender: String,
    /// The activity level of the person. Possible options [1,2,3,4,5].
    activity_level: f64,
    /// The goal of the person. Possible options [lose, gain, maintain].
    goal: String,
}

#[structured]
pub struct Needs {
    calories: f64,
    proteins_g: f64,
    fats_g: f64,
    carbohydrates_g: f64,
}

/// Calculates the nutritional needs of a person based on their weight, height, age, gender, activity level, and goal.
#[tool(read_only, idempotent, closed_world)]
pub fn calculate_nutritional_needs(args: Person) -> Answer<Needs> {
    // The revised Harris-Benedict equation.
    let at_rest = if args.gender == "male" {
        88.362 + 13.397 * args.weight + 4.799 * args.height - 5.677 * args.age
    } else {
        447.593 + 9.247 * args.weight + 3.098 * args.height - 4.330 * args.age
    };
    let levels = [
        (1.0, 1.2),
        (2.0, 1.375),
        (3.0, 1.55),
        (4.0, 1.725),
        (5.0, 1.9),
    ];
    let (_, factor) = levels
        .into_iter()
        .find(|(level, _)| *level == args.activity_level)
        .ok_or_else(|| Error::invalid_arguments("`activity_level` is not one of 1, 2, 3, 4, 5"))?;
    let surplus = match &*args.goal {
        "lose" => -500.0,
        "gain" => 500.0,
        _ => 0.0,
    };
    let Json(calories) = finite(at_rest * factor + surplus)?;
    Ok(Json(Needs {
        calories,
        // Shares of the calories, by what a gram of each brings.
        proteins_g: calories * 0.30 / 4.0,
        fats_g: calories * 0.25 / 9.0,
        carbohydrates_g: calories * 0.45 / 4.0,
    }))
}
