@S2
Feature: The database is lost, and comes back
  Seed S2, "Runtime operation": whoever looks after the service at night wants it to notice, to refuse at once what it cannot do,
  and to go on by itself when the database is back.

  @S2-10
  Scenario: The database goes away and comes back
    Given the service is running on a database that can be taken away
    And 10 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    When the database goes away
    Then it is not ready
    But it lives
    And whoever has not signed in is greeted with "Hello world!"
    When Bob claims "SALSA"
    Then he is told to come again in a second
    When the database comes back
    Then the service becomes ready
    When Bob claims "SALSA" again, for as long as he is told to come again
    Then the claim is granted
    And "SALSA" has been claimed by Ann, Bob in that order
    And it has logged that the database is back

  @S2-10 @postgres
  Scenario: PostgreSQL is killed, and what was granted is kept
    Given the service is running on a database that can be taken away
    And 10 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    When the database is killed
    Then it is not ready
    When the database comes back
    Then the service becomes ready
    And "SALSA" has been claimed by Ann in that order
    When Ann claims "SALSA"
    Then the claimer is told that they have it already
