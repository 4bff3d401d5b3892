"""The OpenAPI 3.1 document of an app's endpoints, and the page that shows it.

    EndpointSpec -> operation -> {messages, models, annotations} -> components -> document

Nothing here is imported before somebody asks for the document. https://spec.openapis.org/oas/v3.1.1
"""
