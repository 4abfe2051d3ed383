@S1
Feature: Coupons on sale
  Seed S1, the coupon system that one command brings up: whoever sells puts a limited number of coupons on sale, and whoever wants
  one claims it. Nobody gets two, and nothing is sold that is not there, however many come at once.

  Background:
    Given the service is running

  @S1-10
  Scenario: A coupon is put on sale
    When somebody puts 50 coupons "SALSA" on sale
    Then 50 of 50 coupons "SALSA" are left
    And nobody has claimed "SALSA"

  @S1-10
  Scenario: A coupon's name is taken once
    Given 50 coupons "SALSA" are on sale
    When somebody puts 10 coupons "SALSA" on sale
    Then they are told that there is such a coupon already
    And 50 of 50 coupons "SALSA" are left

  @S1-10
  Scenario: Ann, Bob and Cid claim a coupon each
    Given 50 coupons "SALSA" are on sale
    When Ann claims "SALSA"
    Then the claim is granted
    When Bob claims "SALSA"
    And Cid claims "SALSA"
    Then "SALSA" has been claimed by Ann, Bob, Cid in that order
    And 47 of 50 coupons "SALSA" are left

  @S1-10
  Scenario: Double dip: Ann wants a second one
    Given 50 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    When Ann claims "SALSA"
    Then the claimer is told that they have it already
    And 49 of 50 coupons "SALSA" are left

  @S1-10
  Scenario: No stock: Bob comes too late
    Given 1 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    When Bob claims "SALSA"
    Then the claimer is told that it is sold out
    And "SALSA" has been claimed by Ann in that order

  @S1-10
  Scenario: Whoever has one is told that, and not that it is sold out
    Given 1 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    When Ann claims "SALSA"
    Then the claimer is told that they have it already

  @S1-10
  Scenario: A coupon that nobody sells
    When Ann claims "TANGO"
    Then the claimer is told that there is no such coupon

  @S1-11
  Scenario: Flash sale: fifty people want one of five
    Given 5 coupons "FLASH" are on sale
    When 50 people claim "FLASH" at once
    Then 5 of them have got it
    And 45 of them are told that it is sold out
    And 0 of 5 coupons "FLASH" are left
    And the books add up

  @S1-11
  Scenario: Stampede: a hundred people want the only one
    Given 1 coupons "ONLY" are on sale
    When 100 people claim "ONLY" at once
    Then 1 of them have got it
    And 99 of them are told that it is sold out
    And the books add up

  @S1-11
  Scenario: Constraint storm: Ann asks twenty times at once
    Given 50 coupons "STORM" are on sale
    When Ann claims "STORM" 20 times at once
    Then 1 of them have got it
    And 19 of them are told that they have it already
    And 49 of 50 coupons "STORM" are left
    And the books add up

  @S1-11
  Scenario Outline: What can be put on sale: <name>, <amount> times
    When somebody puts <amount> coupons with <name> on sale
    Then that is accepted

    Examples:
      | name                  | amount     |
      | a name of 1 letter    | 1          |
      | a name of 255 letters | 2147483647 |

  @S1-11
  Scenario Outline: What cannot be put on sale: <name>, <amount> times
    When somebody puts <amount> coupons with <name> on sale
    Then that is refused because of the <field>

    Examples:
      | name                  | amount     | field  |
      | a name of 256 letters | 1          | name   |
      | a name of 0 letters   | 1          | name   |
      | a blank name          | 1          | name   |
      | a name of 1 letter    | 0          | amount |
      | a name of 1 letter    | -1         | amount |
      | a name of 1 letter    | 2147483648 | amount |

  @S1-11
  Scenario Outline: Who can claim: somebody with <name>
    Given 5 coupons "SALSA" are on sale
    When somebody with <name> claims "SALSA"
    Then that is <verdict>

    Examples:
      | name                  | verdict                        |
      | a name of 255 letters | accepted                       |
      | a name of 256 letters | refused because of the user_id |
      | a blank name          | refused because of the user_id |

  @S1-4 @S1-5
  Scenario Outline: The database itself refuses <what does not hold>
    Given 5 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    When somebody writes <what does not hold> past the service
    Then the database refuses that

    Examples:
      | what does not hold                    |
      | a coupon with an amount of 0          |
      | a remaining amount below 0            |
      | a second claim of Ann's               |
      | a claim of a coupon that nobody sells |
