// Every operation closed, schemas only where they are used, and a token that is forgotten with the page.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  defaultModelsExpandDepth: -1,
  defaultModelRendering: "example",
  displayRequestDuration: true,
  persistAuthorization: false,
  showExtensions: false,
  tryItOutEnabled: true,
  validatorUrl: null,
});
