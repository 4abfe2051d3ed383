@S3
Feature: Data that stays
  Seed S3, story 1.3, criterion 3: a developer wants data to persist, so that a restart loses nothing.

  @S3-1
  Scenario: A restart loses nothing
    Given the service is running
    And 5 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    And Ada has signed in
    And Ada has been greeted 3 times
    When the service is stopped and started again
    Then "SALSA" has been claimed by Ann in that order
    And 4 of 5 coupons "SALSA" are left
    When Ada's client renews her tokens
    And Ada pages through her history, 10 at a time
    Then Ada has seen 3 greetings on 1 pages, the youngest first

  @S3-1
  Scenario: What was granted stays granted when the service is killed
    Given the service is running
    And 5 coupons "SALSA" are on sale
    And Ann has claimed "SALSA"
    When the service is killed and started again
    Then "SALSA" has been claimed by Ann in that order
    And the books add up
