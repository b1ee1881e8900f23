"""HTTP: routes, the documents they speak, and how requests are limited, distinguished and answered."""
