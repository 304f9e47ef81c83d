"""What a site is, as data: the site model, device profiles, quality standards and the shared words."""
