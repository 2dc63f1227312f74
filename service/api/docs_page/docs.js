// Kept in a file of its own: the content security policy allows no script inside the page.
window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  tryItOutEnabled: true,
  // The default sends the document's address to a validator on the internet.
  validatorUrl: null,
});
