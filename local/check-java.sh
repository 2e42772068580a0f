#!/bin/sh
# Are there a Java compiler and Maven for DynamoDB Local? If not, say which package is missing.
missing=
if ! command -v javac >/dev/null 2>&1; then
    echo "javac was not found. DynamoDB Local needs Java 17 or newer." >&2
    missing="openjdk-17-jdk-headless"
else
    # "javac 17.0.15", "javac 21"
    version=$(javac -version 2>&1 | sed 's/[^0-9]*//; s/[^0-9].*//')
    if [ "${version:-0}" -lt 17 ]; then
        echo "javac is version ${version:-unknown}. DynamoDB Local needs Java 17 or newer." >&2
        missing="openjdk-17-jdk-headless"
    fi
fi
if ! command -v mvn >/dev/null 2>&1; then
    echo "mvn was not found. Maven gets DynamoDB Local and what it needs." >&2
    missing="${missing:+$missing }maven"
fi
if [ -n "$missing" ]; then
    echo "On Debian or Ubuntu: sudo apt-get install $missing" >&2
    exit 1
fi
