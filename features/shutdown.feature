@S2
Feature: Shutting down
  Seed S2, "Graceful shutdown & readiness integration": whoever replaces an instance wants it to finish what it has begun, to let
  go of its database, and to be gone in time.

  @S0-11 @S2-9
  Scenario Outline: Asked to stop by <signal>
    Given the service is running
    When the service gets <signal>
    Then it ends with exit code 0
    And it has logged that <signal> asked it to stop

    Examples:
      | signal  |
      | SIGINT  |
      | SIGTERM |

  @S2-9
  Scenario: First it is not ready, and whoever comes is still served
    Given the service takes its time to stop
    And the service is running
    When the service is asked to stop
    Then it is not ready
    But it lives
    And it serves coupons

  @S2-9
  Scenario: A claim that has begun is finished
    Given the service waits for rows as long as it takes
    And the service is running
    And 5 coupons "SALSA" are on sale
    And a claim of Ann's for "SALSA" is under way
    When the service is asked to stop
    And the claim can go on
    Then the claim is granted after all
    And it ends with exit code 0
    And it has let go of its database
    When the service is started again
    Then "SALSA" has been claimed by Ann in that order

  @S2-9
  Scenario: What does not end in time is cut off
    Given the service has 300ms to stop
    And the service waits for rows as long as it takes
    And the service is running
    And 5 coupons "SALSA" are on sale
    And a claim of Ann's for "SALSA" is under way
    When the service is asked to stop
    Then it ends with exit code 1
    And it has logged that it was stopped by force
    And the claim is cut off
    When the service is started again
    Then the books add up

  @S2-9
  Scenario: Whoever asks twice will not wait
    Given the service takes its time to stop
    And the service is running
    When the service is asked to stop
    And the service is asked to stop again
    Then it ends with exit code 1
    And it has logged that it was stopped by force
