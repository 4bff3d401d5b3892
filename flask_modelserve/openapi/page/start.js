// A file of its own, since the page's Content-Security-Policy forbids scripts within HTML.
const place = document.getElementById("swagger-ui");
window.ui = SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  deepLinking: true,
  validatorUrl: null, // else it asks a server on the Internet
});
