@S2 @S2-12
Feature: Signing in, staying signed in, and getting back in
  Seed S2, sessions that persist: whoever knows a password gets in; whoever guesses has to wait; whoever has forgotten it gets help
  from a person.

  Background:
    Given the service is running

  Scenario: Ada stays signed in
    Given Ada has signed in
    When Ada's client renews her tokens
    Then Ada is greeted with "Hello ada!"

  Scenario: Ada signs out
    Given Ada has signed in
    When Ada signs out
    Then Ada is not known any more
    And Ada's client cannot renew her tokens

  Scenario: Ada signs out everywhere
    Given Ada has signed in
    And Ada has signed in on another device
    When Ada signs out everywhere
    Then neither of Ada's devices is signed in

  Scenario: Ada changes her password, and whoever has stolen her tokens is out
    Given Ada has signed in
    And a thief has Ada's tokens
    When Ada changes her password to "moss lantern quay"
    Then the thief's tokens are worthless
    And Ada cannot sign in with the password "tulip ferry onyx"
    And Ada can sign in with the password "moss lantern quay"

  Scenario: A thief who uses a stolen refresh token is found out
    Given Ada has signed in
    And a thief has Ada's tokens
    When Ada's client renews her tokens
    And the thief renews Ada's tokens a minute later
    Then the thief's tokens are worthless
    And Ada has to sign in again

  Scenario: Ada forgets her password and gets help from the administrator
    Given an administrator Grace
    And Ada has an account
    When Grace lets Ada set a new password
    And Ada sets the new password "moss lantern quay" with Grace's code
    Then Ada can sign in with the password "moss lantern quay"
    And Ada cannot sign in with the password "tulip ferry onyx"
    And Grace's code is of no more use

  Scenario: Knowing a name is not enough for a new password
    Given an administrator Grace
    And Ada has an account
    When Grace lets Ada set a new password
    And somebody sets a new password for Ada with a code of their own
    Then they are told no more than that it is no way to a new password
    And Ada can sign in with the password "tulip ferry onyx"

  Scenario: Ada is locked out by somebody's guesses, and comes back
    Given Ada has an account
    When somebody guesses Ada's password 5 times
    Then Ada cannot sign in yet, and is told when to come back
    When Ada comes back when she was told to
    Then Ada can sign in with the password "tulip ferry onyx"
