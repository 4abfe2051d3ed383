@S2 @S2-12
Feature: An account of one's own
  Seed S2, the user management: somebody who registers is known by name, can say what they work towards, and can leave again.

  Background:
    Given the service is running

  Scenario: A newcomer registers, signs in and is greeted by name
    When Ada registers with the password "tulip ferry onyx"
    And Ada signs in with the password "tulip ferry onyx"
    Then Ada is greeted with "Hello ada!"

  Scenario: Somebody who has not signed in is greeted like the rest of the world
    Given Ada has an account
    Then whoever has not signed in is greeted with "Hello world!"

  Scenario: Ada sets herself a goal and is reminded of it
    Given Ada has signed in
    When Ada sets herself the goal "a clean cross-body lead"
    Then Ada is greeted with "Hello ada! Your goal: a clean cross-body lead"
    When Ada gives up her goal
    Then Ada is greeted with "Hello ada!"

  Scenario: Two of Ada's windows do not overwrite each other's changes
    Given Ada has signed in
    And Ada looks at her profile in two windows
    When Ada sets herself the goal "spins" in one window
    And Ada sets herself the goal "musicality" in the other window
    Then the other window says that the profile was changed meanwhile
    And Ada is greeted with "Hello ada! Your goal: spins"

  Scenario: Nobody can take a name that differs only in case
    Given Ada has an account
    When somebody registers as "ADA" with the password "moss lantern quay"
    Then they are told that the name is taken

  Scenario: A password that is tried first is refused
    When somebody registers as "bob" with the password "Password1234!"
    Then they are told to choose another password

  Scenario: Ada leaves, and an administrator can bring her account back
    Given an administrator Grace
    And Ada has signed in
    When Ada deletes her account
    Then Ada is not known any more
    And Ada cannot sign in with the password "tulip ferry onyx"
    When somebody registers as "ada" with the password "moss lantern quay"
    Then they are told that the name is taken
    When Grace restores Ada's account
    Then Ada can sign in with the password "tulip ferry onyx"

  Scenario: Ada tells about herself, and it is seen when she was here last
    Given Ada has signed in
    When Ada describes herself as "Dances on Tuesdays."
    Then Ada's profile says "Dances on Tuesdays."
    And Ada's profile tells when she signed in last

  Scenario: An administrator sees who has an account, and nobody else does
    Given an administrator Grace
    And Ada has signed in
    Then Grace sees the accounts of ada and grace
    And Ada may not see who has an account

  Scenario: The last administrator stays
    Given an administrator Grace
    When Grace tries to delete her account
    Then she is told that she is the last administrator
    And Grace is greeted with "Hello grace!"
