"""HTTP: routes, the documents they speak, and how requests are limited, told apart and answered."""
