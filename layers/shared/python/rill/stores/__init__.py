"""DynamoDB: one module per table, over one client."""
